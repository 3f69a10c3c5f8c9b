internal import LinuxSystem
internal import NIOCore
internal import ProcessSupervision
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#endif

/// How a command ended, and what it said last.
struct ExecEnd: Sendable {
  /// `nil`: somebody else in this process collected the status.
  var status: ExitStatus?
  var errors: String

  var isFailure: Bool { status?.isSuccess != true }

  /// For people: "exited with code 255: ssh: Could not resolve hostname …".
  var description: String {
    let how = status.map { "\($0)" } ?? "ended, and its status was collected by something else"
    return errors.isEmpty ? how : how + ": " + errors
  }
}

/// A command that runs, whose errors are read, and that is ended with its connection.
final class ExecChild: Sendable {
  /// How long errors are waited for behind the command's end: something that it left behind may
  /// hold the pipe.
  private static let errorsLimit = Duration.milliseconds(200)

  let name: String
  private let process: ChildProcess
  private let options: ExecOptions
  private let ending = Mutex<Task<Void, Never>?>(nil)
  /// Done when the command has ended.
  private let end: Task<ExecEnd, Never>

  /// - Parameter errors: the channel that reads the command's errors into `tail`.
  init(
    _ name: String, _ process: ChildProcess, errors: any Channel, tail: ErrorTail,
    options: ExecOptions
  ) {
    self.name = name
    self.process = process
    self.options = options
    self.end = Task {
      // It throws when the status was lost; a cancellation there is not.
      let status = try? await process.wait()
      let limit = Task {
        // Cancelled when all of it was read; closing again does nothing.
        try? await Task.sleep(for: Self.errorsLimit)
        errors.close(promise: nil)
      }
      // However it ended, no more will come.
      try? await errors.closeFuture.get()
      limit.cancel()
      return ExecEnd(status: status, errors: tail.text)
    }
  }

  var pid: Int32 { process.pid }

  /// How the command ended, once it has. Cancelling the calling task does not end the wait.
  func ended() async -> ExecEnd { await end.value }

  /// How it ended, if it did so within a while.
  func ended(within limit: Duration) async -> ExecEnd? {
    guard limit > .zero, await hasEnded(within: limit) else { return nil }
    return await ended()
  }

  /// Kills the command's process group at once.
  func kill() { process.signalGroup(SIGKILL) }

  /// Sees to it that the command ends, by force if need be, and returns when it has. Its input must
  /// have ended.
  func finish() async {
    let task = ending.withLock { ending in
      let task = ending ?? Task { await self.forceEnd() }
      ending = task
      return task
    }
    await task.value
  }

  private func forceEnd() async {
    if await hasEnded(within: options.closeGrace) { return }
    process.signalGroup(SIGTERM)
    if await hasEnded(within: options.killGrace) { return }
    process.signalGroup(SIGKILL)
    // One that not even this ends hangs in the kernel; it is reaped when it does end.
    _ = await hasEnded(within: .seconds(5))
  }

  private func hasEnded(within limit: Duration) async -> Bool {
    await withTaskGroup(of: Bool.self) { [process] group in
      group.addTask {
        // A lost status is an end, too. Cancelled when the time is up.
        _ = try? await process.wait()
        return !Task.isCancelled
      }
      group.addTask {
        // Cancelled when there is nothing more to wait for.
        try? await Task.sleep(for: limit)
        return false
      }
      let isDone = await group.next() ?? false
      group.cancelAll()
      return isDone
    }
  }
}
