internal import Glibc
internal import LinuxSystem

/// Reads a descriptor that belongs to the caller, without changing it: its flags are shared with
/// whoever else has it open, for instance the shell that our terminal comes from.
struct DescriptorReader: ~Copyable, Sendable {
  private let descriptor: OwnedDescriptor
  private let isSocket: Bool

  init(_ original: Int32) throws(SystemError) {
    var status = stat()
    guard fstat(original, &status) == 0 else { throw .last("fstat") }
    let opened = try Self.open(original)
    descriptor = opened
    isSocket = status.st_mode & S_IFMT == S_IFSOCK
  }

  private static func open(_ original: Int32) throws(SystemError) -> OwnedDescriptor {
    // A terminal opened anew has flags of its own. A pipe must not be: the new reader of one whose
    // writers have left already would wait for the next writer instead of seeing the end.
    if isatty(original) == 1 {
      let path = "/proc/self/fd/\(original)"
      // Fails for a terminal of another user; then reading what we were given does as well.
      if let own = try? OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK | O_NOCTTY) {
        return own
      }
    }
    return try OwnedDescriptor(duplicating: original)
  }

  enum Outcome {
    case count(Int)
    case end
    case stopped
    case failed(SystemError)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, _ stop: StopSignal) -> Outcome {
    while true {
      guard stop.wait(for: descriptor.number, Int32(POLLIN)) else { return .stopped }
      let count =
        isSocket
        ? recv(descriptor.number, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        : Glibc.read(descriptor.number, buffer.baseAddress, buffer.count)
      if count > 0 { return .count(count) }
      if count == 0 { return .end }
      switch errno {
      case EAGAIN, EINTR: continue
      // A terminal that has hung up, or that belongs to another job now.
      case EIO: return .end
      default: return .failed(.last("read"))
      }
    }
  }
}
