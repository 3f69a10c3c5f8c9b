#if GRPC
  internal import NIOCore

  extension EventLoop {
    /// Sleeps by this loop's timers.
    ///
    /// `Task.sleep` keeps what it needs until its time has come, also when it is cancelled: with a minute's
    /// limit for each call that would be something of all calls of the last minute. Of this one nothing
    /// is left.
    ///
    /// - Returns: whether the time has passed; `false`: the task was cancelled, or the loop has ended.
    func sleep(for duration: Duration) async -> Bool {
      let timer = scheduleTask(in: TimeAmount(max(duration, .zero))) { true }
      return await withTaskCancellationHandler {
        // It fails by being cancelled, or with its loop.
        (try? await timer.futureResult.get()) ?? false
      } onCancel: {
        timer.cancel()
      }
    }
  }
#endif
