internal import Synchronization

/// A process's standard streams, carried between its shim's fifos and the caller.
///
/// Open them before the task is created (for an added process: before `exec`), since the shim opens
/// its ends while it answers; hand ``locations`` to it; and call ``finish(within:)`` in any case.
/// Each stream has a thread of its own, so a slow one holds up itself alone.
public final class StandardStreams: Sendable {
  private let fifos: StreamFifos
  private let input: (copy: InputCopy, thread: StreamThread<InputResult>)?
  private let output: (copy: OutputCopy, thread: StreamThread<Void>)?
  private let error: (copy: OutputCopy, thread: StreamThread<Void>)?

  private let isFinished = Mutex(false)

  /// What became of the outputs.
  public struct Results: Sendable {
    public var output: StreamResult?
    public var error: StreamResult?
  }

  public var locations: StreamLocations { fifos.locations }

  /// Makes fifos in a new directory below `parent`, and carries the plan out.
  ///
  /// - Throws: `streamUnusable`; nothing is left then.
  public convenience init(
    _ plan: StreamPlan, in parent: String, named name: String
  ) throws(ContainerdClientError) {
    try self.init(plan, fifos: StreamFifos(for: plan, in: parent, named: name))
  }

  /// Carries the plan out with fifos that are there. What the plan has and the fifos do not, or the
  /// other way round, is left out.
  ///
  /// - Throws: `notAFifo`, `streamUnusable`; the fifos are removed then, if they were made.
  public init(_ plan: StreamPlan, fifos: StreamFifos) throws(ContainerdClientError) {
    self.fifos = fifos
    var started: [@Sendable () -> Void] = []
    do {
      output = try Self.start(fifos.locations.standardOutput, plan.output, "stdout")
      if let output { started.append { output.thread.stop() } }
      error = try Self.start(fifos.locations.standardError, plan.error, "stderr")
      if let error { started.append { error.thread.stop() } }
      input = try Self.start(fifos.locations.standardInput, plan.input)
    } catch {
      for stop in started { stop() }
      fifos.remove()
      throw error
    }
  }

  /// Waits until the input has been handed over. Once that is so *and the process was started*, call
  /// the task client's `closeIO`: before its start, a shim has nothing to let go of yet.
  ///
  /// `stopped` when there is no input, or when the calling task is cancelled.
  public func inputEnd() async -> InputResult {
    await input?.thread.ending() ?? .stopped
  }

  /// What the outputs have given so far, without waiting.
  public var results: Results {
    Results(output: output?.copy.result, error: error?.copy.result)
  }

  /// Ends the streams: stops the input, waits for the outputs' end, and removes the fifos. For
  /// after the process's exit; before a `delete`, which may wait for the shim to get rid of its
  /// output.
  ///
  /// - Parameter limit: how long the outputs are waited for. They end when the shim has closed
  ///   them; a process that the task left behind, or a sink that does not take its bytes, keeps one
  ///   open. One that no shim ever opened has no end either, so give `.zero` when the task could not
  ///   be created. Cancelling the calling task ends the wait, and all is closed and removed
  ///   nevertheless.
  public func finish(within limit: Duration) async -> Results {
    stopInput()
    await Self.waiting(limit) { [output, error] in
      _ = await output?.thread.ending()
      _ = await error?.thread.ending()
    }
    output?.thread.stop()
    error?.thread.stop()
    // The threads look at the signal at once; only a write into a device that hangs in the kernel
    // could keep one, and it is not waited for. A task of its own, which nobody has cancelled.
    await Task {
      await Self.waiting(.seconds(1)) { [input, output, error] in
        _ = await output?.thread.ending()
        _ = await error?.thread.ending()
        _ = await input?.thread.ending()
      }
    }.value
    input?.copy.closeUnblocker()
    fifos.remove()
    isFinished.withLock { $0 = true }
    return results
  }

  private func stopInput() {
    input?.thread.stop()
    input?.copy.unblock()
  }

  deinit {
    guard !isFinished.withLock({ $0 }) else { return }
    // An error of the caller's. Nothing runs on or stays for all that.
    stopInput()
    output?.thread.stop()
    error?.thread.stop()
    fifos.remove()
  }

  private static func start(
    _ path: String?, _ sink: OutputSink, _ name: String
  ) throws(ContainerdClientError) -> (copy: OutputCopy, thread: StreamThread<Void>)? {
    guard let path, sink.isPresent else { return nil }
    let copy = try OutputCopy(path, to: sink)
    do {
      return (copy, try .start("hawse-\(name)") { copy.run($0) })
    } catch {
      throw ContainerdClientError(.streamUnusable, "cannot serve the fifo \(path)", cause: error)
    }
  }

  private static func start(
    _ path: String?, _ source: InputSource
  ) throws(ContainerdClientError) -> (copy: InputCopy, thread: StreamThread<InputResult>)? {
    guard let path, source.isPresent else { return nil }
    let copy = try InputCopy(path, from: source)
    do {
      return (copy, try .start("hawse-stdin") { copy.run($0) })
    } catch {
      throw ContainerdClientError(.streamUnusable, "cannot serve the fifo \(path)", cause: error)
    }
  }

  /// Runs the body, which must heed cancellation, for at most so long.
  private static func waiting(
    _ limit: Duration, _ body: @escaping @Sendable () async -> Void
  ) async {
    await withTaskGroup { group in
      group.addTask(operation: body)
      // Throws when the group is cancelled, which is how it is told that the body was faster.
      group.addTask { try? await Task.sleep(for: limit) }
      await group.next()
      group.cancelAll()
    }
  }
}
