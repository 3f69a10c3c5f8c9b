internal import Glibc
internal import LinuxSystem

/// The ways in which the files of a bundle are opened.
extension OwnedDescriptor {
  /// The path's own last link is followed: a state directory may well be one.
  init(directory path: String) throws(SystemError) {
    try self.init(opening: path, O_RDONLY | O_DIRECTORY)
  }

  /// For reading: never follows a link, never waits for the other end of a fifo.
  init(reading name: String, in directory: borrowing OwnedDescriptor) throws(SystemError) {
    try self.init(opening: name, in: directory, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  }

  /// A file that was not there before, which only its owner can open yet.
  init(creating name: String, in directory: borrowing OwnedDescriptor) throws(SystemError) {
    try self.init(
      opening: name, in: directory, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
  }
}
