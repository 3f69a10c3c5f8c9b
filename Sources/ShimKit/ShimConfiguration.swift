public import ProcessSupervision
public import TransportCore

/// What an author may set of a shim's frame. The defaults do for most.
public struct ShimConfiguration: Sendable {
  // MARK: What the daemon is told

  /// The versions of the task service that the shim serves, of 2 and 3.
  public var taskVersions: Set<Int>
  /// The version that containerd 1.7 to 2.2 is told at most. 3 is understood from 2.0 on and makes
  /// it attach containers to a sandbox without running `start`; 1.7 refuses a shim that says so.
  public var jsonVersion: Int

  // MARK: Where it listens

  /// Where sockets are made when the daemon does not say.
  public var socketDirectory: String
  /// Listened at as well by the serving process, such as `vsock://any:1024` inside a guest. Peers
  /// have to pass the transport's own policy: on vsock, to be the host.
  public var listeners: [TransportAddress]
  /// Who may connect to the shim's own socket.
  public var peerPolicy: PeerPolicy

  // MARK: The serving process

  /// Set in the serving process's environment; wins over what was inherited.
  public var environment: [String: String]
  /// Whether it has a session of its own, or a process group of its own in the daemon's session.
  public var grouping: Command.Grouping
  public var logging: ShimLogging
  public var reaping: ShimReaping
  public var hooks: ShimHooks

  // MARK: Limits

  /// How long `start` waits for another one of its group, and for the answer of a shim that runs.
  public var startLimit: Duration
  /// How long the author's `delete` may take. The daemon kills it after 5 s.
  public var deleteLimit: Duration
  /// How long the callbacks of a shutdown may take together.
  public var shutdownLimit: Duration
  /// How long calls that are under way may take to finish, after that.
  public var drainLimit: Duration

  public init(
    taskVersions: Set<Int> = [2, 3], jsonVersion: Int = 2,
    socketDirectory: String = "/run/containerd/s", listeners: [TransportAddress] = [],
    peerPolicy: PeerPolicy = .sameUser, environment: [String: String] = [:],
    grouping: Command.Grouping = .newSession, logging: ShimLogging = .fifo,
    reaping: ShimReaping = .orphans, hooks: ShimHooks = ShimHooks(),
    startLimit: Duration = .seconds(20), deleteLimit: Duration = .seconds(4),
    shutdownLimit: Duration = .seconds(30), drainLimit: Duration = .seconds(2)
  ) {
    self.taskVersions = taskVersions
    self.jsonVersion = jsonVersion
    self.socketDirectory = socketDirectory
    self.listeners = listeners
    self.peerPolicy = peerPolicy
    self.environment = environment
    self.grouping = grouping
    self.logging = logging
    self.reaping = reaping
    self.hooks = hooks
    self.startLimit = startLimit
    self.deleteLimit = deleteLimit
    self.shutdownLimit = shutdownLimit
    self.drainLimit = drainLimit
  }
}

/// Steps of others in the frame's way.
public struct ShimHooks: Sendable {
  /// In `start`, before the serving process is made: what throws here leaves nothing behind.
  public var beforeSpawn: @Sendable (ShimStartRequest) throws -> Void
  /// In `start`, when the serving process runs: its cgroup, its OOM score. What throws here ends it.
  public var afterSpawn: @Sendable (_ pid: Int32, ShimStartRequest) throws -> Void
  /// In the serving process, before the author's services are registered.
  public var beforeServing: @Sendable (ShimContext) async throws -> Void

  public init(
    beforeSpawn: @escaping @Sendable (ShimStartRequest) throws -> Void = { _ in },
    afterSpawn: @escaping @Sendable (_ pid: Int32, ShimStartRequest) throws -> Void = { _, _ in },
    beforeServing: @escaping @Sendable (ShimContext) async throws -> Void = { _ in }
  ) {
    self.beforeSpawn = beforeSpawn
    self.afterSpawn = afterSpawn
    self.beforeServing = beforeServing
  }
}
