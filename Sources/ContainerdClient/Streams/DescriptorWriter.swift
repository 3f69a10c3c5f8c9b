internal import Glibc
internal import LinuxSystem

/// Writes to a descriptor that belongs to the caller, without changing it, and never in a write
/// that cannot be interrupted: a reader that stalls must not hold up whoever wants to stop us.
struct DescriptorWriter: ~Copyable, Sendable {
  private enum Manner {
    /// A regular file: always takes what it is given.
    case file
    /// A pipe, terminal or device of which we have an opening of our own, so that it can be
    /// non-blocking.
    case nonBlocking
    case socket
    /// The same without one of our own. Pipes say that they are writable when a write of 4 KiB
    /// (PIPE_BUF) does not block.
    case small
  }

  private let descriptor: OwnedDescriptor
  private let manner: Manner

  init(_ original: Int32) throws(SystemError) {
    var status = stat()
    guard fstat(original, &status) == 0 else { throw .last("fstat") }
    let kind = status.st_mode & S_IFMT
    if kind != S_IFREG && kind != S_IFSOCK {
      let path = "/proc/self/fd/\(original)"
      // Fails for a pipe that nobody reads and for what another user owns.
      if let own = try? OwnedDescriptor(opening: path, O_WRONLY | O_NONBLOCK | O_NOCTTY) {
        self.init(owning: own)
        return
      }
    }
    let manner: Manner =
      switch kind {
      case S_IFREG: .file
      case S_IFSOCK: .socket
      default: .small
      }
    self.init(try OwnedDescriptor(duplicating: original), manner)
  }

  private init(_ descriptor: consuming OwnedDescriptor, _ manner: Manner) {
    self.descriptor = descriptor
    self.manner = manner
  }

  /// Takes over one that is non-blocking already.
  init(owning descriptor: consuming OwnedDescriptor) {
    self.init(descriptor, .nonBlocking)
  }

  enum Outcome {
    case written
    case stopped
    case failed(SystemError)
  }

  /// Writes all of it. Its thread must block SIGPIPE.
  func write(_ bytes: UnsafeRawBufferPointer, _ stop: StopSignal) -> Outcome {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = attempt(UnsafeRawBufferPointer(rebasing: rest))
      if count >= 0 {
        rest = rest.dropFirst(count)
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN:
        guard stop.wait(for: descriptor.number, Int32(POLLOUT)) else { return .stopped }
      default: return .failed(.last("write"))
      }
    }
    return .written
  }

  private func attempt(_ bytes: UnsafeRawBufferPointer) -> Int {
    switch manner {
    case .file, .nonBlocking:
      return Glibc.write(descriptor.number, bytes.baseAddress, bytes.count)
    case .socket:
      let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)
      return send(descriptor.number, bytes.baseAddress, bytes.count, flags)
    case .small:
      var polled = pollfd(fd: descriptor.number, events: Int16(POLLOUT), revents: 0)
      let ready = poll(&polled, 1, 0)
      if ready == 0 { errno = EAGAIN }
      guard ready > 0 else { return -1 }
      return Glibc.write(descriptor.number, bytes.baseAddress, min(bytes.count, 4096))
    }
  }
}
