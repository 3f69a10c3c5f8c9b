internal import Glibc

/// A descriptor with one owner, closed when the owner lets go of it.
struct OwnedDescriptor: ~Copyable, Sendable {
  let number: Int32

  init(owning number: Int32) { self.number = number }

  init(opening path: String, _ flags: Int32) throws(SystemError) {
    // A signal may interrupt a wait for the other end of a fifo.
    var number: Int32
    repeat { number = open(path, flags | O_CLOEXEC) } while number < 0 && errno == EINTR
    guard number >= 0 else { throw .last("open") }
    self.number = number
  }

  init(duplicating other: Int32) throws(SystemError) {
    number = fcntl(other, F_DUPFD_CLOEXEC, 3)
    guard number >= 0 else { throw .last("dup") }
  }

  deinit { close(number) }

  /// Hands the descriptor over: who takes the number closes it.
  consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }
}
