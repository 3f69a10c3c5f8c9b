internal import CLinux
internal import Glibc

/// A descriptor with one owner, closed when the owner lets go of it.
struct OwnedDescriptor: ~Copyable {
  let number: Int32

  init(owning number: Int32) { self.number = number }

  deinit { close(number) }

  /// Hands the descriptor over: who takes the number closes it.
  consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }
}

extension OwnedDescriptor {
  static func opening(_ path: String, _ flags: Int32) throws(SystemError) -> OwnedDescriptor {
    let number = open(path, flags | O_CLOEXEC)
    guard number >= 0 else { throw .last("open \(path)") }
    return OwnedDescriptor(owning: number)
  }

  func makeNonBlocking() throws(SystemError) {
    let flags = fcntl(number, F_GETFL)
    guard flags >= 0, fcntl(number, F_SETFL, flags | O_NONBLOCK) >= 0 else { throw .last("fcntl") }
  }
}

/// Both ends of a new pipe, close-on-exec.
struct Pipe: ~Copyable {
  let reading: OwnedDescriptor
  let writing: OwnedDescriptor

  init() throws(SystemError) {
    var first: Int32 = -1
    var second: Int32 = -1
    let result = clinux_pipe(&first, &second)
    guard result == 0 else { throw SystemError("pipe2", -result) }
    reading = OwnedDescriptor(owning: first)
    writing = OwnedDescriptor(owning: second)
  }

  /// The reading end alone; the other one is closed.
  consuming func takeReading() -> OwnedDescriptor { reading }

  /// The writing end alone; the other one is closed.
  consuming func takeWriting() -> OwnedDescriptor { writing }
}
