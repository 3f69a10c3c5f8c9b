internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// A child that ``Command/spawn()`` started.
///
/// It is reaped as soon as it ends, whether anybody waits or not, through a descriptor that stands
/// for this very process: no signal sent here can reach another one that got its number.
public final class ChildProcess: Sendable {
  typealias Outcome = Result<ExitStatus, ProcessError>
  typealias Observer = @Sendable (Outcome) -> Void

  private enum State {
    case running(Running)
    case ended(Outcome)
  }

  private struct Running {
    var pidfd: Int32
    var watch: ReadinessThread.Watch?
    var observers: [UInt64: Observer] = [:]
    var nextKey: UInt64 = 0
  }

  public let pid: Int32
  private let thread: ReadinessThread
  private let state: Mutex<State>

  private init(pid: Int32, pidfd: Int32, thread: ReadinessThread) {
    self.pid = pid
    self.thread = thread
    self.state = Mutex(.running(Running(pidfd: pidfd)))
  }

  /// Takes charge of a child that was spawned just now. When that fails, the child is killed and
  /// reaped before the error is thrown: one that cannot be watched would be lost.
  static func adopting(_ pid: Int32, watchedBy thread: ReadinessThread) throws(SystemError)
    -> ChildProcess
  {
    let pidfd = clinux_pidfd_open(pid)
    guard pidfd >= 0 else {
      // It ended and is reaped already, not by us: the number is no longer its own.
      if pidfd == -ESRCH { throw SystemError("pidfd_open", errno: ESRCH) }
      kill(pid, SIGKILL)
      while waitpid(pid, nil, 0) < 0, errno == EINTR {}
      throw SystemError("pidfd_open", errno: -pidfd)
    }
    let child = ChildProcess(pid: pid, pidfd: pidfd, thread: thread)
    do {
      try child.startWatching(pidfd)
      return child
    } catch {
      child.signal(SIGKILL)
      var signalled: Int32 = 0
      var value: Int32 = 0
      _ = clinux_pidfd_reap(pidfd, 1, &signalled, &value)
      ChildLedger.shared.remove(child)
      close(pidfd)
      throw error
    }
  }

  private func startWatching(_ pidfd: Int32) throws(SystemError) {
    ChildLedger.shared.enter(self)
    // Under the lock, so that an early end waits for the watch to be recorded.
    try state.withLock { state throws(SystemError) in
      // The thread keeps the child until its end, so that it is reaped even if nobody else does.
      let watch = try thread.add(pidfd, for: .readable) { _ = self.reap() }
      state = .running(Running(pidfd: pidfd, watch: watch))
    }
  }

  /// Waits for the process to end. Any number of tasks may wait, also after its end.
  ///
  /// Cancelling the calling task ends the wait, not the process.
  /// - Throws: `statusLost`, `cancelled`.
  public func wait() async throws(ProcessError) -> ExitStatus {
    let key = Mutex<UInt64?>(nil)
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Outcome, Never>) in
        let registered = observe { continuation.resume(returning: $0) }
        key.withLock { $0 = registered }
        if Task.isCancelled, let registered { withdraw(registered) }
      }
    } onCancel: {
      // Nil when the wait has not begun: it then sees the cancellation itself.
      if let registered = key.withLock({ $0 }) { withdraw(registered) }
    }
    return try outcome.get()
  }

  /// Sends a signal to the process. `false`: it has ended, or this process may not.
  @discardableResult
  public func signal(_ number: Int32) -> Bool {
    // Under the lock the descriptor is open. The call does not wait for anything.
    state.withLock { state in
      guard case .running(let running) = state else { return false }
      return clinux_pidfd_signal(running.pidfd, number) == 0
    }
  }

  /// Sends a signal to every process of the group that this one leads, which needs
  /// ``Command/Grouping/newGroup`` or `newSession`. `false`: the leader has ended, or may not.
  @discardableResult
  public func signalGroup(_ number: Int32) -> Bool {
    // Reaping takes the lock too, so the number is the child's own as long as it is held.
    state.withLock { state in
      guard case .running = state else { return false }
      return kill(-pid, number) == 0
    }
  }

  /// Calls back once with the process's end, at once if it has ended. The key withdraws the call.
  func observe(_ observer: @escaping Observer) -> UInt64? {
    let (key, outcome): (UInt64?, Outcome?) = state.withLock { state in
      switch state {
      case .ended(let outcome):
        return (nil, outcome)
      case .running(var running):
        running.nextKey += 1
        running.observers[running.nextKey] = observer
        state = .running(running)
        return (running.nextKey, nil)
      }
    }
    if let outcome { observer(outcome) }
    return key
  }

  private func withdraw(_ key: UInt64) {
    let observer: Observer? = state.withLock { state in
      guard case .running(var running) = state else { return nil }
      let observer = running.observers.removeValue(forKey: key)
      state = .running(running)
      return observer
    }
    observer?(
      .failure(ProcessError(.cancelled, "Waiting for process \(pid) was cancelled; it runs on.")))
  }

  enum Reaping {
    case collected
    /// By an earlier call.
    case endedBefore
    case running
  }

  /// Runs on the readiness thread when the process has ended, or on the ``Reaper``'s, whichever
  /// sees it first.
  func reap() -> Reaping {
    let (outcome, ended): (Outcome?, Running?) = state.withLock { state in
      guard case .running(let running) = state else { return (nil, nil) }
      guard let outcome = collect(running.pidfd) else { return (nil, running) }
      state = .ended(outcome)
      return (outcome, running)
    }
    guard let ended else { return .endedBefore }
    guard let outcome else { return .running }
    ChildLedger.shared.remove(self)
    if let watch = ended.watch { thread.remove(watch) }
    close(ended.pidfd)
    for observer in ended.observers.values { observer(outcome) }
    return .collected
  }

  private func collect(_ pidfd: Int32) -> Outcome? {
    var signalled: Int32 = 0
    var value: Int32 = 0
    let result = clinux_pidfd_reap(pidfd, 0, &signalled, &value)
    if result == 0 { return nil }
    if result > 0 { return .success(signalled != 0 ? .signalled(value) : .exited(value)) }
    return .failure(.statusLost(pid, SystemError("waitid", errno: -result)))
  }
}
