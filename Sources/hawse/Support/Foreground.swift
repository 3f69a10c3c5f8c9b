import ContainerdClient
import Glibc
import Logging
import RPCCore
import ShimManagement

/// Runs a process of a task in the foreground: its streams are ours, signals go to it, a terminal
/// follows the window, and its end is waited for.
struct Foreground {
  var task: ShimTask
  /// `nil` for the task's first process.
  var execID: String?
  var streams: StandardStreams
  /// Ours, when the process has one.
  var terminal: Terminal?
  var logger: Logger

  /// How long what the process printed may take to arrive after its end.
  static let drain = Duration.seconds(5)

  /// Starts the process and waits for its end.
  ///
  /// - Throws: what kept it from starting, or the loss of its shim. The streams are finished in any
  ///   case.
  func run() async throws -> TaskExit {
    do {
      let exit = try await Signals.shared.redirected(to: forward) {
        guard let terminal else { return try await startAndWait() }
        return try await terminal.withRawMode { try await startAndWait() }
      }
      _ = await streams.finish(within: Self.drain)
      return exit
    } catch {
      _ = await streams.finish(within: .milliseconds(200))
      throw error
    }
  }

  private func startAndWait() async throws -> TaskExit {
    try await withThrowingTaskGroup(of: TaskExit?.self) { group in
      try await start()
      group.addTask { try await task.wait(execID: execID) }
      group.addTask {
        if await streams.inputEnd() == .delivered { await closeInput() }
        return nil
      }
      if let terminal {
        group.addTask {
          await follow(terminal)
          return nil
        }
      }
      defer { group.cancelAll() }
      for try await exit in group {
        if let exit { return exit }
      }
      throw CancellationError()
    }
  }

  private func start() async throws {
    if let execID {
      _ = try await task.call("start \(execID) in") { client throws(RPCError) in
        try await client.start(task.id, execID: execID)
      }
    } else {
      try await task.start()
    }
  }

  private func closeInput() async {
    do {
      try await task.client.closeIO(task.id, execID: execID, timeout: .seconds(5))
    } catch {
      // The process may have ended meanwhile.
      logger.debug("CloseIO failed", metadata: ["id": "\(task.id)", "error": "\(error)"])
    }
  }

  private func follow(_ terminal: Terminal) async {
    await resize(to: terminal)
    do {
      for await _ in try Terminal.windowChanges() { await resize(to: terminal) }
    } catch {
      logger.warning("the terminal's size is not followed", metadata: ["error": "\(error)"])
    }
  }

  private func resize(to terminal: Terminal) async {
    do {
      try await task.client.resizePty(
        task.id, execID: execID, to: try terminal.size(), timeout: .seconds(5))
    } catch {
      logger.debug("ResizePty failed", metadata: ["id": "\(task.id)", "error": "\(error)"])
    }
  }

  private func forward(_ signal: Int32) {
    Task {
      do {
        try await task.client.kill(
          task.id, execID: execID, signal: UInt32(signal), timeout: .seconds(5))
      } catch {
        logger.warning(
          "cannot pass a signal on", metadata: ["signal": "\(signal)", "error": "\(error)"])
      }
    }
  }
}

extension StreamPlan {
  /// Our own standard streams.
  static func inherited(input: Bool, terminal: Bool) -> StreamPlan {
    StreamPlan(
      input: input ? .descriptor(STDIN_FILENO) : .none, output: .descriptor(STDOUT_FILENO),
      error: .descriptor(STDERR_FILENO), terminal: terminal)
  }
}
