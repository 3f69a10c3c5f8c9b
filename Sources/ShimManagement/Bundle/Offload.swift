internal import NIOPosix

/// Runs blocking work on NIO's thread pool, never on the cooperative pool.
///
/// Unlike the pool's own `runIfActive` it does not listen to the task's cancellation: cleaning up is
/// what it is for, and that is needed most where somebody has lost patience.
func offload<Value: Sendable, Failure: Error>(
  _ work: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
  let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
    // The singleton pool is never shut down, so the work is always active.
    NIOThreadPool.singleton.submit { _ in
      continuation.resume(returning: Result(catching: work))
    }
  }
  return try result.get()
}

/// Waits, whether or not the calling task is cancelled.
func uncancellableSleep(_ duration: Duration) async {
  // The detached task cannot be cancelled by anyone, so the sleep cannot throw.
  await Task.detached { try? await Task.sleep(for: duration) }.value
}
