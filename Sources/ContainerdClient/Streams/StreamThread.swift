internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// A thread for one stream, which may therefore be as slow as it likes, and may be one that only a
/// blocking call can serve.
final class StreamThread<Ending: Sendable>: Sendable {
  private struct State {
    var ending: Ending?
    var waiters: [UInt64: CheckedContinuation<Ending?, Never>] = [:]
    var nextKey: UInt64 = 0
  }

  private let stopSignal: StopSignal
  private let state = Mutex(State())

  private init(_ stopSignal: StopSignal) { self.stopSignal = stopSignal }

  /// - Parameters:
  ///   - name: what debuggers call the thread, at most 15 bytes.
  ///   - body: runs on the thread, and returns soon after its stop signal.
  static func start(
    _ name: String, _ body: @escaping @Sendable (StopSignal) -> Ending
  ) throws(SystemError) -> StreamThread {
    let stopSignal = try StopSignal()
    let thread = StreamThread(stopSignal)
    try startThread(name) { thread.end(body(stopSignal)) }
    return thread
  }

  func stop() { stopSignal.raise() }

  /// Waits for the thread's end; `nil` when the calling task is cancelled.
  func ending() async -> Ending? {
    let key = state.withLock { state in
      state.nextKey += 1
      return state.nextKey
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (isOver, ending): (Bool, Ending?) = state.withLock { state in
          if state.ending != nil || Task.isCancelled { return (true, state.ending) }
          state.waiters[key] = continuation
          return (false, nil)
        }
        if isOver { continuation.resume(returning: ending) }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: key) }?.resume(returning: nil)
    }
  }

  private func end(_ ending: Ending) {
    let waiters = state.withLock { state in
      state.ending = ending
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume(returning: ending) }
  }
}

/// Interrupts waits of a thread: a pipe that hangs up when the signal is raised.
final class StopSignal: Sendable {
  private let reading: OwnedDescriptor
  private let writing: Mutex<Int32>

  init() throws(SystemError) {
    var first: Int32 = -1
    var second: Int32 = -1
    let result = clinux_pipe(&first, &second)
    guard result == 0 else { throw SystemError("pipe2", errno: -result) }
    reading = OwnedDescriptor(owning: first)
    writing = Mutex(second)
  }

  deinit { raise() }

  var isRaised: Bool { writing.withLock { $0 < 0 } }

  func raise() {
    writing.withLock { writing in
      if writing >= 0 { close(writing) }
      writing = -1
    }
  }

  /// Waits until the descriptor is ready for the events, or has hung up. `false`: it is time to
  /// stop.
  func wait(for descriptor: Int32, _ events: Int32) -> Bool {
    var polled = [
      pollfd(fd: descriptor, events: Int16(events), revents: 0),
      pollfd(fd: reading.number, events: 0, revents: 0),
    ]
    // Fails with EINTR, or with ENOMEM, which passes.
    while poll(&polled, 2, -1) < 0 {}
    return polled[1].revents == 0
  }
}
