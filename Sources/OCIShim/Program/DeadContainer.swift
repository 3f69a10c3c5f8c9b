internal import Glibc
internal import LinuxSystem
internal import ProcessSupervision
internal import ShimKit
internal import SwiftProtobuf

/// A container whose shim is gone: what `delete` ends and takes away, and what it can say of it.
struct DeadContainer {
  /// containerd's own status for an end that nobody saw.
  static let unknownStatus: UInt32 = 255
  /// That of a container that this very clean-up killed.
  static let killedStatus: UInt32 = 128 + 9

  /// A daemon waits 5 s for all of `delete`, and what hangs is the runtime.
  private static let runtimeLimit = Duration.milliseconds(2500)

  private let request: ShimDeleteRequest
  private let wasKilled: Bool
  private let journal: Journal
  private let say: @Sendable (String) -> Void

  /// - Parameters:
  ///   - wasKilled: whether ``kill(bundle:)`` has just killed it.
  ///   - say: where it is told what the answer has no field for. The daemon takes what `delete` prints
  ///     to its error output into its own log.
  init(
    _ request: ShimDeleteRequest, wasKilled: Bool = false,
    say: @escaping @Sendable (String) -> Void = Self.sayOnStandardError
  ) {
    self.request = request
    self.wasKilled = wasKilled
    self.say = say
    journal = Journal(bundle: request.bundle)
  }

  /// Kills what is left, unmounts the root file system, and says how the container ended: as the
  /// journal has it; as killed, when it ran until now; and otherwise that it is not known, and why.
  ///
  /// It may be run again, and with a bundle that is half gone.
  ///
  /// - Throws: what the runtime or an unmount throws; `.damagedState` for a journal that cannot be
  ///   read. Each only when all is cleaned up that can be without it.
  func cleanUp() async throws -> TaskEnd {
    let record = Result { () throws(OCIShimError) in try journal.read() }
    let known = try? record.get()  // The error is thrown in the end.
    let ranUntilNow = wasKilled || known?.initProcess.map(Self.isAlive) ?? false
    var failure: (any Error)?
    var options = known?.options ?? RuntimeOptions()
    options.commandTimeout = min(options.commandTimeout, Self.runtimeLimit)
    let runtime = OCIRuntime(
      options: options, namespace: request.namespace,
      directory: access(request.bundle, W_OK) == 0 ? request.bundle : "/tmp")
    do throws(OCIShimError) {
      try await runtime.run(.delete(id: request.id, force: true))
    } catch {
      // Gone is what it should be. All else may be removed without the runtime.
      if error.code != .processGone { failure = error }
    }
    if let process = known?.initProcess { await end(process) }
    await CgroupRemains.remove(bundle: request.bundle)
    await endLoggers(known)
    ConsoleSocket.removeLeft(of: request.bundle)
    do { try await BundleMounts().unmount(bundle: request.bundle) } catch {
      failure = failure ?? error
    }
    if let failure { throw failure }
    return answer(JournalVerdict(try record.get(), bundle: request.bundle), ranUntilNow)
  }

  /// Kills the process that a bundle's journal has for its init, and waits for nothing.
  ///
  /// - Returns: whether it ran until now.
  static func kill(bundle: String) -> Bool {
    // Without a journal that can be read, the runtime alone knows it.
    guard let process = (try? Journal(bundle: bundle).read())?.initProcess,
      let startTime = process.startTime
    else { return false }
    return ProcessIdentity(pid: process.pid, startTime: startTime).signal(SIGKILL)
  }

  private func answer(_ verdict: JournalVerdict, _ ranUntilNow: Bool) -> TaskEnd {
    switch verdict {
    case .ended(let pid, let end):
      return TaskEnd(pid: UInt32(pid), status: end.status, at: end.time.timestamp)
    case .unknown(let pid, _) where ranUntilNow:
      say("container \(request.id) ran when its shim died, and is killed now")
      return TaskEnd(pid: UInt32(pid), status: Self.killedStatus)
    case .unknown(let pid, let reason):
      say(
        "it is not known how container \(request.id) ended: \(reason); "
          + "\(Self.unknownStatus) stands for that")
      return TaskEnd(pid: UInt32(pid), status: Self.unknownStatus)
    }
  }

  /// Ends what the runtime does not know: the holder of a sandbox's namespaces.
  private func end(_ process: JournalRecord.Process) async {
    guard let startTime = process.startTime else { return }
    let identity = ProcessIdentity(pid: process.pid, startTime: startTime)
    guard identity.signal(SIGKILL) else { return }
    _ = await identity.waitForEnd(within: .seconds(1))
  }

  /// What takes output has come to the end of it now, and goes on for a moment at most.
  private func endLoggers(_ record: JournalRecord?) async {
    for logger in record?.loggers.values ?? [:].values {
      guard let startTime = logger.startTime else { continue }
      let process = ProcessIdentity(pid: logger.pid, startTime: startTime)
      if await process.waitForEnd(within: .milliseconds(500)) { continue }
      process.signal(SIGTERM)
      if await process.waitForEnd(within: .milliseconds(500)) { continue }
      process.signal(SIGKILL)
    }
  }

  private static func isAlive(_ process: JournalRecord.Process) -> Bool {
    guard let startTime = process.startTime else { return false }
    return ProcessIdentity(pid: process.pid, startTime: startTime).isAlive
  }

  @Sendable static func sayOnStandardError(_ text: String) {
    let line = Array("containerd-shim-hawsepipe-v1: \(text)\n".utf8)
    // Whoever reads it may be gone, and then it is told to nobody.
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
