internal import NIOPosix

/// Runs work that blocks on NIO's thread pool, whether the calling task is cancelled or not.
func offload<Value: Sendable>(
  _ work: @escaping @Sendable () throws(SandboxControlError) -> Value
) async throws(SandboxControlError) -> Value {
  let result: Result<Value, SandboxControlError> = await withCheckedContinuation { continuation in
    // The singleton pool is never shut down, so the work is always active.
    NIOThreadPool.singleton.submit { _ in
      do throws(SandboxControlError) {
        continuation.resume(returning: .success(try work()))
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
  }
  return try result.get()
}
