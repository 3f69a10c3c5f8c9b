internal import CLinux
internal import Glibc
internal import Synchronization

/// Waits until a socket is writable or has failed, such as one that a connect(2) is under way on,
/// without holding a thread.
///
/// All such waits share one thread, which the first of them starts and which stays.
///
/// - Parameter descriptor: stays the caller's, who keeps it open meanwhile.
/// - Throws: `SystemError` with ECANCELED at once when the task is cancelled; with what else it is
///   when there is no thread or descriptor to be had for waiting.
package func waitUntilWritable(_ descriptor: Int32) async throws(SystemError) {
  let (epoll, token) = try waits.withLock { waits throws(SystemError) in
    (try waits.start(), waits.makeToken())
  }
  let result = await withTaskCancellationHandler {
    await withCheckedContinuation { continuation in
      waits.withLock { $0.waiting[token] = continuation }
      let failure = clinux_epoll_watch_writable(epoll, descriptor, token)
      if failure < 0 { settle(token, -failure) }
      // A cancellation that came before there was a continuation found nothing to resume.
      if Task.isCancelled { settle(token, ECANCELED) }
    }
  } onCancel: {
    settle(token, ECANCELED)
  }
  // Not watched at all when watching it failed; and then there is nothing to forget.
  _ = clinux_epoll_forget(epoll, descriptor)
  guard result == 0 else { throw SystemError("connect", errno: result) }
}

/// Who takes a continuation out resumes it: the thread, a cancellation or a failure.
private struct Waits {
  private var epoll: Int32?
  private var lastToken: UInt64 = 0
  var waiting: [UInt64: CheckedContinuation<Int32, Never>] = [:]

  /// Tokens rather than descriptors, whose numbers come again: a late event finds nobody.
  mutating func makeToken() -> UInt64 {
    lastToken += 1
    return lastToken
  }

  /// The epoll instance, with a thread that waits at it.
  mutating func start() throws(SystemError) -> Int32 {
    if let epoll { return epoll }
    let made = clinux_epoll()
    guard made >= 0 else { throw SystemError("epoll_create1", errno: -made) }
    do throws(SystemError) {
      try startThread("hawse-connect") { watch(made) }
    } catch {
      close(made)
      throw error
    }
    epoll = made
    return made
  }
}

private let waits = Mutex(Waits())

private func settle(_ token: UInt64, _ result: Int32) {
  waits.withLock { $0.waiting.removeValue(forKey: token) }?.resume(returning: result)
}

private func watch(_ epoll: Int32) {
  var tokens = [UInt64](repeating: 0, count: 64)
  while true {
    let count = clinux_epoll_wait(epoll, &tokens, Int32(tokens.count))
    // The instance is never closed and the memory is ours: there is no error that it could have.
    precondition(count >= 0, "epoll_wait: \(errnoText(-count))")
    for token in tokens.prefix(Int(count)) { settle(token, 0) }
  }
}
