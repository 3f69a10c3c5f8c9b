public import ContainerdClient

/// A way of having sandboxes: as shims of this host, or as endpoints that are there already.
///
/// A driver keeps no state of its own that matters: what it needs to find a sandbox again is in the
/// order, in the instance and on its own side. Calls for one sandbox come one after the other, but for
/// those that only ask.
public protocol SandboxDriver: Sendable {
  /// As the configuration names it.
  var name: String { get }

  /// Makes what a sandbox needs. When it throws, nothing of it is left.
  func create(_ order: SandboxOrder) async throws(SandboxControlError) -> any DrivenSandbox

  /// Finds a sandbox again that was created, and started if there is an instance.
  ///
  /// - Returns: nil when it is certain that it runs no more.
  /// - Throws: when that cannot be told now. It is tried again later.
  func restore(
    _ order: SandboxOrder, instance: SandboxInstance?
  ) async throws(SandboxControlError) -> (any DrivenSandbox)?

  /// Ends and removes what there may be of a sandbox that ended, or whose creation was not finished.
  /// Nothing there is no error.
  func remove(_ order: SandboxOrder) async throws(SandboxControlError)
}

/// A sandbox that a driver made or found again.
public protocol DrivenSandbox: Sendable {
  /// Starts it.
  func start() async throws(SandboxControlError) -> SandboxInstance

  /// Ends what runs in it.
  ///
  /// - Parameter limit: how long that may take before it is forced.
  func stop(within limit: Duration) async throws(SandboxControlError)

  /// Returns when it has ended.
  ///
  /// - Throws: when that cannot be known any more, as when the connection was lost: the sandbox is
  ///   then restored, which tells whether it is still there.
  func wait() async throws(SandboxControlError) -> SandboxExit

  func status(verbose: Bool) async throws(SandboxControlError) -> DrivenStatus

  func platform() async throws(SandboxControlError) -> SandboxPlatform

  /// - Throws: also when the sandbox has none.
  func metrics() async throws(SandboxControlError) -> SandboxMetrics

  /// Whether it answers.
  func ping() async throws(SandboxControlError)

  /// Tells it that fields of its record have changed.
  func update(
    _ record: SandboxRecord, fields: [String]
  ) async throws(SandboxControlError)

  /// Ends it and removes everything of it.
  func shutDown() async throws(SandboxControlError)

  /// Lets go of it, and leaves it as it is.
  func release() async
}

/// What a sandbox says of itself.
public struct DrivenStatus: Sendable {
  public var pid: UInt32
  /// As the peer has it; empty when it says nothing.
  public var state: String
  public var info: [String: String]

  public init(pid: UInt32 = 0, state: String = "", info: [String: String] = [:]) {
    self.pid = pid
    self.state = state
    self.info = info
  }
}
