internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Collects every child of this process that no ``ChildProcess`` stands for, such as a container's
/// init that a runtime started and left behind, and tells everybody who subscribed of its end.
///
/// Each end is told once, in the order of their collection, to each subscription that was there by
/// then, however far that is behind: nothing is dropped and nobody is waited for. Children that
/// ``Command`` started are their owners' own and are not told of here; stops and continuations are
/// no ends.
///
/// There is one in a process, and it stays: it has a thread and the handler of SIGCHLD. Start it
/// before the first runtime command. A program that does without it need not start it; then only
/// its own children are waited for. While it runs, nothing but ``Command`` may start processes here
/// whose status matters: it takes those of `system(3)`, `popen(3)` and their like.
public final class Reaper: Sendable {
  private typealias Subscriber = @Sendable (ProcessExit) -> Void

  private struct State {
    var recordings: [UInt64: Subscriber] = [:]
    var streams: [UInt64: Subscriber] = [:]
    var subscribed: UInt64 = 0
  }

  private static let instance = Mutex<Reaper?>(nil)
  private let ends: Int32
  private let state = Mutex(State())

  private init(ends: Int32) { self.ends = ends }

  /// Makes orphans among this process's descendants its own children from now on, instead of the
  /// system's init's (prctl(2), `PR_SET_CHILD_SUBREAPER`). Descriptors and programs that it executes
  /// keep it; children do not inherit it.
  public static func becomeSubreaper() throws(ProcessError) {
    let result = clinux_become_subreaper()
    guard result == 0 else {
      throw ProcessError(
        .systemFailure, "Cannot become the parent of orphaned descendants",
        cause: SystemError("prctl", errno: -result))
    }
  }

  /// The process's one reaper, started by the first call.
  ///
  /// - Parameter subreaper: whether to become one first (``becomeSubreaper()``).
  /// - Throws: `systemFailure`, `resourcesExhausted`.
  public static func start(subreaper: Bool = true) throws(ProcessError) -> Reaper {
    if subreaper { try becomeSubreaper() }
    return try instance.withLock { instance throws(ProcessError) in
      if let instance { return instance }
      let ends = clinux_child_ends()
      do throws(SystemError) {
        guard ends >= 0 else { throw SystemError("eventfd", errno: -ends) }
        let reaper = Reaper(ends: ends)
        try startThread("hawse-reaper") { reaper.run() }
        instance = reaper
        return reaper
      } catch {
        throw ProcessError(.init(error.errno), "Cannot watch for ends of children", cause: error)
      }
    }
  }

  /// All ends from now on. They are kept until they are taken, without a limit: take them, or end
  /// the iteration's task.
  public func exits() -> AsyncStream<ProcessExit> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ProcessExit.self, bufferingPolicy: .unbounded)
    let key = subscribe { state, key in state.streams[key] = { continuation.yield($0) } }
    continuation.onTermination = { [weak self] _ in self?.unsubscribe(key) }
    return stream
  }

  /// Has every end from now on told to a handler for as long as the process lives.
  ///
  /// - Parameter handler: called on the reaper's own thread, which collects nothing meanwhile: it must
  ///   not block. However busy all other threads are, it is called.
  public func onExit(_ handler: @escaping @Sendable (ProcessExit) -> Void) {
    _ = subscribe { state, key in state.streams[key] = handler }
  }

  /// Keeps all ends from now on for one who will learn a process's number later. An end is in every
  /// recording before any of ``exits()`` gives it.
  public func record() -> ExitRecording {
    let recording = ExitRecording()
    let key = subscribe { [weak recording] state, key in
      state.recordings[key] = { [weak recording] in recording?.add($0) }
    }
    recording.onStop { [weak self] in self?.unsubscribe(key) }
    return recording
  }

  /// Subscribers are called on the reaper's thread: they must not block.
  private func subscribe(_ enter: (inout State, UInt64) -> Void) -> UInt64 {
    state.withLock { state in
      state.subscribed += 1
      enter(&state, state.subscribed)
      return state.subscribed
    }
  }

  private func unsubscribe(_ key: UInt64) {
    state.withLock { state in
      state.recordings[key] = nil
      state.streams[key] = nil
    }
  }

  private func run() -> Never {
    clinux_take_child_ends()
    while true {
      // One signal may stand for many ends: all of them are looked for.
      while collectOne() {}
      clinux_await_child_end(ends, -1)
    }
  }

  /// False when there is nothing to collect before the descriptor says so.
  private func collectOne() -> Bool {
    let pid = clinux_peek_ended_child()
    guard pid > 0 else { return false }
    let ends = ends
    switch ChildLedger.shared.owner(of: pid, wake: { clinux_wake_reaper(ends) }) {
    case .spawning:
      return false
    case .child(let child):
      switch child.reap() {
      case .collected: break
      // The number was its own, and is another's now.
      case .endedBefore: ChildLedger.shared.remove(child)
      // The kernel says otherwise in two places at once. Not seen, and no reason to spin.
      case .running: clinux_await_child_end(ends, 10)
      }
    case .nobody:
      var signalled: Int32 = 0
      var value: Int32 = 0
      // While it is a zombie the number is its own.
      let startTime = ProcessStatus(pid: pid)?.startTime
      // Fails when somebody else was faster, and then the end is not ours to tell.
      guard clinux_collect_child(pid, &signalled, &value) == 1 else { return true }
      tell(
        ProcessExit(
          pid: pid, startTime: startTime,
          status: signalled != 0 ? .signalled(value) : .exited(value),
          at: wallClockTime()))
    }
    return true
  }

  private func tell(_ exit: ProcessExit) {
    let subscribers = state.withLock { Array($0.recordings.values) + Array($0.streams.values) }
    for subscriber in subscribers { subscriber(exit) }
  }
}
