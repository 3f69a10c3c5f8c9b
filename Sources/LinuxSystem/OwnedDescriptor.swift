internal import CLinux
package import Glibc

/// A descriptor with one owner, closed when the owner lets go of it.
package struct OwnedDescriptor: ~Copyable, Sendable {
  package let number: Int32

  package init(owning number: Int32) { self.number = number }

  /// Opens a path, close-on-exec.
  ///
  /// - Parameter mode: of a file that `flags` let it create, less the umask.
  package init(opening path: String, _ flags: Int32, mode: mode_t = 0) throws(SystemError) {
    // A signal may interrupt a wait for the other end of a fifo.
    let opened = retryingInterrupts { open(path, flags | O_CLOEXEC, mode) }
    guard opened >= 0 else { throw .last("open", path) }
    number = opened
  }

  /// Opens a name in a directory, close-on-exec.
  package init(
    opening name: String, in directory: borrowing OwnedDescriptor, _ flags: Int32, mode: mode_t = 0
  ) throws(SystemError) {
    let parent = directory.number
    let opened = retryingInterrupts { openat(parent, name, flags | O_CLOEXEC, mode) }
    guard opened >= 0 else { throw .last("open", name) }
    number = opened
  }

  /// Another descriptor, not one of the standard three, for what `other` has open.
  package init(duplicating other: Int32) throws(SystemError) {
    let copy = fcntl(other, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw .last("dup") }
    number = copy
  }

  deinit {
    // Nothing was written through it that `close()` was not asked about.
    _ = Glibc.close(number)
  }

  /// Hands the descriptor over: who takes the number closes it.
  package consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }

  /// Closes now, and says what `deinit` could not: some file systems report a failed write here.
  package consuming func close() throws(SystemError) {
    let number = release()
    // Not repeated on EINTR: Linux has let go of the descriptor by then.
    guard Glibc.close(number) == 0 || errno == EINTR else { throw .last("close") }
  }

  package func makeNonBlocking() throws(SystemError) {
    let flags = fcntl(number, F_GETFL)
    guard flags >= 0, fcntl(number, F_SETFL, flags | O_NONBLOCK) >= 0 else { throw .last("fcntl") }
  }
}

/// Both ends of a new pipe, close-on-exec.
package struct Pipe: ~Copyable {
  package let reading: OwnedDescriptor
  package let writing: OwnedDescriptor

  package init() throws(SystemError) {
    var first: Int32 = -1
    var second: Int32 = -1
    let result = clinux_pipe(&first, &second)
    guard result == 0 else { throw SystemError("pipe2", errno: -result) }
    reading = OwnedDescriptor(owning: first)
    writing = OwnedDescriptor(owning: second)
  }

  /// The reading end alone; the other one is closed.
  package consuming func takeReading() -> OwnedDescriptor { reading }

  /// The writing end alone; the other one is closed.
  package consuming func takeWriting() -> OwnedDescriptor { writing }

  /// The reading end and the writing end.
  package consuming func takeBoth() -> (Int32, Int32) {
    (reading.release(), writing.release())
  }
}
