public import ContainerdClient
internal import Glibc
internal import Logging
internal import ProcessSupervision
internal import RPCCore
internal import ShimProtocol
public import TransportCore

extension ShimManager {
  /// What is known of one bundle.
  public struct Report: Sendable {
    public enum Condition: Sendable, Hashable {
      /// The shim answers.
      case alive
      /// Nobody listens at the shim's address any more.
      case dead
      /// The shim's address is taken, but nobody answered within the limit.
      case mute
      /// There is no way to the shim's address from here, such as a transport without a connector; the
      /// text says why.
      case unreachable(String)
      /// The bundle was not finished: whoever made it was interrupted.
      case incomplete
      /// A file of the bundle cannot be read; the text says which.
      case damaged(String)
    }

    public var id: String
    public var namespace: String
    /// The sandbox that the task is attached to; `nil` for a task with a shim of its own.
    public var sandboxID: String?
    public var isSandbox: Bool
    public var address: TransportAddress?
    public var version: Int?
    /// How the task came to its shim, and how long that took; `nil` if it was interrupted.
    public var joined: JoinRecord?
    public var condition: Condition
    /// What the shim says of the task; `nil` if it does not know it, or does not answer.
    public var state: TaskState?
  }

  /// Looks at every bundle of a namespace and asks its shim, all at once: a mute shim costs its own
  /// tasks ``Limits/query``, and the others nothing.
  public func list(namespace: String) async throws(ShimManagementError) -> [Report] {
    try validate(namespace, as: .namespace)
    configuration.directory.sweepLocks(namespace: namespace)
    let bundles = try Bundle.list(namespace: namespace, in: configuration.directory)
    return await withTaskGroup { group in
      for bundle in bundles {
        group.addTask { await self.report(on: bundle) }
      }
      var reports: [Report] = []
      for await report in group { reports.append(report) }
      return reports.sorted { $0.id < $1.id }
    }
  }

  /// What is known of one task or sandbox.
  public func report(
    namespace: String, id: String
  ) async throws(ShimManagementError) -> Report {
    await report(on: try bundle(namespace: namespace, id: id))
  }

  /// Takes up a task that is there already.
  ///
  /// - Throws: ``ShimManagementError`` with code `.taskNotFound` if there is no bundle, `.shimDied` if
  ///   nobody listens at its shim's address, `.damagedState` if its files cannot be read.
  public func load(namespace: String, id: String) async throws(ShimManagementError) -> ShimTask {
    let bundle = try bundle(namespace: namespace, id: id)
    let params: BootstrapParams
    do {
      params = try BundleFiles(path: bundle.path).restoreBootstrapParams()
    } catch {
      throw ShimManagementError(
        code: .damagedState,
        message: "cannot reach the shim of \(id): its bundle does not say where it listens",
        hint: "Run hawse task rm --force (or sandbox rm --force) to remove what is there.",
        cause: error)
    }
    let began = ContinuousClock.now
    let address = try endpoint(of: params, for: id)
    return try await connect(
      bundle, sandboxID: sandboxID(of: bundle), joined: .loaded, params: params, address: address,
      since: began)
  }

  /// Removes a task or sandbox that cannot be deleted through its shim: the shim is gone, is mute,
  /// or was never reached. Its binary's `delete` cleans up as far as there is one, and a shim that was
  /// started for it and still runs is killed. A sandbox's tasks go with it, before it: its bundle knows
  /// the binary that cleans up after them.
  ///
  /// - Returns: the end that the binary reported; `nil` if there was nothing left to remove.
  @discardableResult
  public func discard(namespace: String, id: String) async throws(ShimManagementError) -> TaskExit?
  {
    let bundle = try bundle(namespace: namespace, id: id)
    var fallback: String?
    if let sandbox = sandboxID(of: bundle),
      let sandboxBundle = try find(namespace: namespace, id: sandbox)
    {
      fallback = shimBinary(of: sandboxBundle)
    }
    if let shim = JoinRecord.read(from: BundleFiles(path: bundle.path))?.shim, shim.signal(SIGKILL)
    {
      _ = await shim.waitForEnd(within: configuration.limits.shutdown)
    }
    // Whoever started it may have died before it could be recorded.
    await inBackground { [self] in await endStrays(in: bundle) }.value
    let binary = shimBinary(of: bundle)
    for member in try members(ofSandbox: id, namespace: namespace) {
      guard let task = try find(namespace: namespace, id: member) else { continue }
      try await cleanUpDead(task, fallback: binary)
    }
    return try await cleanUpDead(bundle, fallback: fallback)
  }

  /// The ids of the tasks that are attached to a sandbox, by their bundles.
  public func members(
    ofSandbox id: String, namespace: String
  ) throws(ShimManagementError) -> [String] {
    try Bundle.list(namespace: namespace, in: configuration.directory)
      .filter { sandboxID(of: $0) == id }.map(\.id)
  }

  func bundle(namespace: String, id: String) throws(ShimManagementError) -> Bundle {
    guard let bundle = try find(namespace: namespace, id: id) else {
      throw ShimManagementError(
        code: .taskNotFound, message: "there is no \(id) in namespace \(namespace)",
        hint: "See hawse task ls and hawse sandbox ls for what there is.")
    }
    return bundle
  }

  /// The bundle of that name, if there is one.
  func find(namespace: String, id: String) throws(ShimManagementError) -> Bundle? {
    do {
      return try Bundle.load(id: id, namespace: namespace, in: configuration.directory)
    } catch  where error.code == .bundleNotFound {
      return nil
    }
  }

  /// What a failed connect says of the shim.
  private static func condition(of error: ShimManagementError) -> Report.Condition {
    if error.code == .shimDied { return .dead }
    let isMute = (error.cause as? TransportError)?.code == .timedOut
    return isMute ? .mute : .unreachable("\(error)")
  }

  private func report(on bundle: Bundle) async -> Report {
    let files = BundleFiles(path: bundle.path)
    var report = Report(
      id: bundle.id, namespace: bundle.namespace, sandboxID: sandboxID(of: bundle),
      isSandbox: SandboxFile.isThere(in: bundle) || SandboxMark.isSandbox(bundle), address: nil,
      version: nil,
      joined: JoinRecord.read(from: files), condition: .alive,
      state: nil)
    do {
      let params = try files.restoreBootstrapParams()
      report.version = params.version
      report.address = try params.endpoint(origin: .received)
    } catch let error as ShimProtocolError where error.code == .missingFile {
      report.condition = .incomplete
      return report
    } catch {
      report.condition = .damaged("\(error)")
      return report
    }
    let task: ShimTask
    do {
      task = try await load(namespace: bundle.namespace, id: bundle.id)
    } catch {
      report.condition = Self.condition(of: error)
      return report
    }
    do {
      report.state = try await task.client.state(
        bundle.id, timeout: configuration.limits.query)
    } catch {
      switch error.reason {
      case .status: break
      case .connectionClosed: report.condition = .dead
      default: report.condition = .mute
      }
    }
    await release(task)
    return report
  }
}
