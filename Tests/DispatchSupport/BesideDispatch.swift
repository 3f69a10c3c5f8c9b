internal import Synchronization
public import Testing

/// Runs an exit test in which a process has no descriptor left, again if it died of libdispatch.
///
/// Once a second libdispatch looks at its threads in /proc, if any work waits for them. It traps when
/// it cannot open a file there (`_dispatch_workq_monitor_pools`), so on a busy machine no program that
/// uses it, which every concurrent Swift program does, is safe without descriptors. It is not what the
/// test is about; to die so four times in a row is.
public func besideDispatch(_ test: () async -> ExitTest.Result?) async {
  for attempt in 1...4 {
    let hasDied = Mutex(false)
    await withKnownIssue("libdispatch traps without a descriptor", isIntermittent: true) {
      _ = await test()
    } matching: { issue in
      let isTrap = attempt < 4 && "\(issue)".contains("SIGILL")
      if isTrap { hasDied.withLock { $0 = true } }
      return isTrap
    }
    guard hasDied.withLock({ $0 }) else { return }
  }
}
