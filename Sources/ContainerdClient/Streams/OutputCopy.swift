internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Takes a process's output from its fifo to a sink, until the last writer has closed it.
final class OutputCopy: Sendable {
  private let fifo: OwnedDescriptor
  private let path: String
  private let limit: Int
  private let writer: DescriptorWriter?
  private let state = Mutex(StreamResult())

  /// Opens the reading end at once, before any writer is there. Nothing is read before poll(2) has
  /// called it ready, since a fifo without a writer reads like one that has ended; poll tells the
  /// two apart: it reports a hang-up only when a writer was there and left.
  init(_ path: String, to sink: OutputSink) throws(ContainerdClientError) {
    let handle = try FifoHandle(path)
    do {
      fifo = try handle.open(O_RDONLY | O_NONBLOCK)
    } catch {
      throw ContainerdClientError(.streamUnusable, "cannot open the fifo \(path)", cause: error)
    }
    self.path = path
    switch sink {
    case .none, .discard:
      limit = 0
      writer = nil
    case .memory(let limit):
      self.limit = max(0, limit)
      writer = nil
    case .descriptor(let descriptor):
      limit = 0
      do {
        writer = try DescriptorWriter(descriptor)
      } catch {
        throw ContainerdClientError(
          .streamUnusable, "cannot send a process's output to descriptor \(descriptor)",
          cause: error)
      }
    }
    keeps = if case .memory = sink { true } else { false }
  }

  private let keeps: Bool

  /// What has come so far.
  var result: StreamResult { state.withLock { $0 } }

  /// The body of the stream's thread.
  func run(_ stop: StopSignal) {
    withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
      while stop.wait(for: fifo.number, Int32(POLLIN)) {
        guard step(buffer, stop) else { return }
      }
      // Time is up. What lies in the fifo was printed before, and it is taken as long as nothing
      // has to be waited for; at most what a fifo can hold, for a writer that goes on and on.
      for _ in 0..<16 {
        guard isReady, step(buffer, stop) else { return }
      }
    }
  }

  /// Whether there is something to read now: bytes, or the end.
  private var isReady: Bool {
    var polled = pollfd(fd: fifo.number, events: Int16(POLLIN), revents: 0)
    return poll(&polled, 1, 0) > 0
  }

  /// Moves one buffer. `false`: there is no more to do.
  private func step(
    _ buffer: UnsafeMutableRawBufferPointer, _ stop: StopSignal
  ) -> Bool {
    let count = read(fifo.number, buffer.baseAddress, buffer.count)
    if count == 0 {
      state.withLock { $0.reachedEnd = true }
      return false
    }
    if count < 0 {
      if errno == EINTR || errno == EAGAIN { return true }
      let error = SystemError.last("read")
      fail(ContainerdClientError(.copyFailed, "cannot read the fifo \(path)", cause: error))
      return false
    }
    let failed = state.withLock { result in
      result.byteCount += UInt64(count)
      if keeps {
        let room = min(count, limit - result.bytes.count)
        result.bytes.append(contentsOf: buffer[..<room])
        if room < count { result.truncated = true }
      }
      return result.failure != nil
    }
    // A sink that failed once is left alone, and the process goes on printing into the void.
    if !failed, let outcome = writer?.write(.init(rebasing: buffer[..<count]), stop) {
      switch outcome {
      case .written: break
      case .stopped: return false
      case .failed(let error):
        fail(
          ContainerdClientError(
            .copyFailed, "a process's output could not be passed on; the rest of it is dropped",
            cause: error))
      }
    }
    return true
  }

  private func fail(_ error: ContainerdClientError) {
    state.withLock { $0.failure = error }
  }
}
