internal import CLinux
internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#endif

/// A socket's file, by its inode: so that nobody else's is removed.
struct UnixSocketFile: Sendable {
  let path: String
  private let device: dev_t
  private let inode: ino_t
  /// Keeps the inode's number from being given to another file when this one is removed.
  private let pin: Pin?

  private final class Pin: Sendable {
    private let descriptor: OwnedDescriptor

    /// nil when there is no descriptor left: then the number alone has to do.
    init?(_ path: String) {
      let descriptor = clinux_open_path(path, false)
      guard descriptor >= 0 else { return nil }
      self.descriptor = OwnedDescriptor(owning: descriptor)
    }
  }

  /// nil when it is not there.
  init?(path: String) {
    // Pinned first: what is found then stays what it is.
    let pin = Pin(path)
    guard let (device, inode) = Self.identity(of: path) else { return nil }
    self.init(path: path, device: device, inode: inode, pin: pin)
  }

  private init(path: String, device: dev_t, inode: ino_t, pin: Pin?) {
    self.path = path
    self.device = device
    self.inode = inode
    self.pin = pin
  }

  func renamed(to path: String) -> UnixSocketFile {
    UnixSocketFile(path: path, device: device, inode: inode, pin: pin)
  }

  /// 0, or the negative error number.
  func setMode(_ mode: UInt32) -> Int32 { chmod(path, mode) == 0 ? 0 : -errno }

  /// Removes the file, unless another has taken its place. Others that would just now put theirs
  /// there are waited for, or wait.
  func remove() {
    let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? ""
    // Without the lock, two system calls one after the other are as close as it gets.
    UnixDirectoryLock.withLock(on: directory) { _ in unlink() }
  }

  /// As ``remove()``, by a caller that has the lock or whose name nobody else would take.
  func unlink() {
    guard let (device, inode) = Self.identity(of: path), device == self.device,
      inode == self.inode
    else { return }
    // Gone already, or not to be removed: nothing that a listener on its way out could do.
    _ = Glibc.unlink(path)
  }

  private static func identity(of path: String) -> (dev_t, ino_t)? {
    var status = stat()
    return lstat(path, &status) == 0 ? (status.st_dev, status.st_ino) : nil
  }
}
