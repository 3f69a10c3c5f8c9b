internal import Synchronization

/// All ends of processes since ``Reaper/record()``, for one who starts a process through another
/// program and learns its number only afterwards: its end may have come first.
///
/// Make it before that program is run, ask it once the number is known, and stop it: it keeps every
/// end until then. It stops by itself when nobody holds it any more.
///
/// A number is that of a process which ended after the recording began, or none at all; with a
/// second process of the same number within one recording, the first end is given.
public final class ExitRecording: Sendable {
  private struct State {
    var exits: [Int32: ProcessExit] = [:]
    var waiting: [Int32: [UInt64: CheckedContinuation<ProcessExit?, Never>]] = [:]
    var waits: UInt64 = 0
    var isStopped = false
    var unsubscribe: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  init() {}

  deinit { stop() }

  /// The process's end, if it has come since the recording began.
  public func exit(of pid: Int32) -> ProcessExit? { state.withLock { $0.exits[pid] } }

  /// The process's end, now or when it comes. `nil` when the recording is stopped first or the
  /// calling task is cancelled.
  public func waitForExit(of pid: Int32) async -> ProcessExit? {
    let number = state.withLock { state in
      state.waits += 1
      return state.waits
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let (known, found): (Bool, ProcessExit?) = state.withLock { state in
          if let exit = state.exits[pid] { return (true, exit) }
          // Under the lock: a cancellation that comes later finds the entry.
          if state.isStopped || Task.isCancelled { return (true, nil) }
          state.waiting[pid, default: [:]][number] = continuation
          return (false, nil)
        }
        if known { continuation.resume(returning: found) }
      }
    } onCancel: {
      let continuation = state.withLock { $0.waiting[pid]?.removeValue(forKey: number) }
      continuation?.resume(returning: nil)
    }
  }

  /// Ends the recording and forgets what it has. Whoever waits gets `nil`.
  public func stop() {
    let (unsubscribe, waiting) = state.withLock { state in
      let ended = (state.unsubscribe, state.waiting)
      state = State(isStopped: true)
      return ended
    }
    unsubscribe?()
    for continuation in waiting.values.flatMap(\.values) { continuation.resume(returning: nil) }
  }

  func onStop(_ unsubscribe: @escaping @Sendable () -> Void) {
    state.withLock { $0.unsubscribe = unsubscribe }
  }

  func add(_ exit: ProcessExit) {
    let waiting = state.withLock { state -> [UInt64: CheckedContinuation<ProcessExit?, Never>] in
      guard !state.isStopped, state.exits[exit.pid] == nil else { return [:] }
      state.exits[exit.pid] = exit
      return state.waiting.removeValue(forKey: exit.pid) ?? [:]
    }
    for continuation in waiting.values { continuation.resume(returning: exit) }
  }
}
