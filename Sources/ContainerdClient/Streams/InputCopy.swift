internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Takes the caller's input to a process's fifo, and closes the fifo behind its last byte.
final class InputCopy: Sendable {
  private enum Source: ~Copyable, Sendable {
    case descriptor(DescriptorReader)
    case bytes([UInt8])
  }

  private let fifo: FifoHandle
  private let source: Source
  /// A reading end that ``unblock()`` opened.
  private let unblocker = Mutex<Int32>(-1)

  init(_ path: String, from source: InputSource) throws(ContainerdClientError) {
    fifo = try FifoHandle(path)
    switch source {
    case .none: self.source = .bytes([])
    case .bytes(let bytes): self.source = .bytes(bytes)
    case .descriptor(let descriptor):
      do {
        self.source = .descriptor(try DescriptorReader(descriptor))
      } catch {
        throw ContainerdClientError(
          .streamUnusable, "cannot read a process's input from descriptor \(descriptor)",
          cause: error)
      }
    }
  }

  deinit { closeUnblocker() }

  /// The body of the stream's thread.
  func run(_ stop: StopSignal) -> InputResult {
    // Waits in open(2) until the shim has its reading end. Writing earlier, through an end opened
    // for both ways, would lose the bytes if we closed it before the shim came.
    guard let opened = try? fifo.open(O_WRONLY), !stop.isRaised else { return .stopped }
    // Our own opening; nobody else shares its flags. This fails for no descriptor that is open.
    _ = fcntl(opened.number, F_SETFL, O_WRONLY | O_NONBLOCK)
    let writer = DescriptorWriter(owning: opened)
    switch source {
    case .bytes(let bytes): return bytes.withUnsafeBytes { Self.result(writer.write($0, stop)) }
    case .descriptor(let reader):
      return withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
        while true {
          switch reader.read(into: buffer, stop) {
          case .end: return .delivered
          case .stopped, .failed: return .stopped
          case .count(let count):
            let outcome = writer.write(.init(rebasing: buffer[..<count]), stop)
            guard case .written = outcome else { return Self.result(outcome) }
          }
        }
      }
    }
  }

  /// Lets the thread out of its wait for a reader: for a moment there is one. Call it behind the
  /// stop signal.
  func unblock() {
    // Without the end, when descriptors are short, the thread waits for the shim's as before.
    guard let end = try? fifo.open(O_RDONLY | O_NONBLOCK).release() else { return }
    unblocker.withLock { unblocker in
      if unblocker >= 0 { close(unblocker) }
      unblocker = end
    }
  }

  /// Call it once the thread has ended.
  func closeUnblocker() {
    unblocker.withLock { unblocker in
      if unblocker >= 0 { close(unblocker) }
      unblocker = -1
    }
  }

  private static func result(_ outcome: DescriptorWriter.Outcome) -> InputResult {
    switch outcome {
    case .written: .delivered
    case .stopped: .stopped
    case .failed: .readerGone
    }
  }
}
