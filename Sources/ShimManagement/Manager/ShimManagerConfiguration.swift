public import Logging
public import RPCCore
public import ShimProtocol
internal import TTRPC
public import TransportCore

extension ShimManager {
  /// What a manager works with. Everything has a default but where its state is.
  public struct Configuration: Sendable {
    public var directory: StateDirectory
    /// The connectors for shims' addresses.
    public var registry: TransportRegistry
    /// The protocols that shims are spoken to in. ttrpc alone unless given.
    public var dialers: RPCDialers
    /// What shims are told as the daemon's address. runc's shim hashes it into its socket's name, so
    /// it must stay the same for a state directory.
    public var daemonAddress: String
    /// Where shims send their events: the path of a unix socket (`EventsReceiver` serves it).
    public var eventsAddress: String
    /// The environment that shims are started in, under the variables of the start contract.
    public var environment: [String: String]
    /// What shims get in their environment beside: containerd's `env` setting. It wins over
    /// ``environment``, is kept in each bundle, and `delete` gets it as `start` did.
    public var shimEnvironment = ShimEnvironment()
    /// What shims' `start` is told on standard input. `nil`: the runtime's options, and if the shim
    /// refuses because it wants bootstrap params, those.
    public var startDialect: StartDialect?
    /// Whether a sandbox's shim of version 3 is told to shut down after each task that was attached to
    /// it and is deleted, as containerd's main does: a shim ignores it while it has tasks, or a sandbox.
    /// containerd 2.0.6 to 2.3 leave it out, for shims that do not. Others are always told.
    public var asksSandboxesToShutDown = true
    /// What shims are told to publish with. Nothing of ours is run through it.
    public var publishBinary: String
    /// Whether shims are told to log at debug level.
    public var debug: Bool
    public var limits: Limits
    public var logger: Logger
    /// Called after each step, on no particular thread, in order. It must not block.
    public var onStep: @Sendable (ManagerStep) -> Void

    public init(
      directory: StateDirectory, registry: TransportRegistry, dialers: RPCDialers? = nil,
      daemonAddress: String? = nil,
      eventsAddress: String? = nil, environment: [String: String] = [:],
      publishBinary: String = "/bin/true",
      debug: Bool = false, limits: Limits = Limits(),
      logger: Logger = Logger(label: "hawsepipe.manager"),
      onStep: @escaping @Sendable (ManagerStep) -> Void = { _ in }
    ) {
      self.directory = directory
      self.registry = registry
      self.dialers = dialers ?? RPCDialers([TTRPCDialer()])
      self.daemonAddress = daemonAddress ?? "\(directory.state)/hawsepipe.sock"
      self.eventsAddress = eventsAddress ?? directory.eventsSocket
      self.environment = environment
      self.publishBinary = publishBinary
      self.debug = debug
      self.limits = limits
      self.logger = logger
      self.onStep = onStep
    }
  }

  /// How long the manager waits, at most, for each thing that somebody else does.
  public struct Limits: Sendable {
    /// A shim binary's `start`, until it has answered and ended.
    public var start: Duration = .seconds(30)
    /// A connection to a shim.
    public var connect: Duration = .seconds(5)
    /// A call that only asks: state, pids, connect.
    public var query: Duration = .seconds(2)
    /// A call that changes something: create, start, delete.
    public var change: Duration = .seconds(60)
    /// Cleaning up after a failure or a dead shim: a shim binary's `delete` and the bundle.
    public var cleanup: Duration = .seconds(5)
    /// A shim's answer to Shutdown, and its end after it.
    public var shutdown: Duration = .seconds(3)
    /// The end of a process that a failed start left: once it was asked, and again after SIGTERM.
    /// Then it is killed.
    public var stray: Duration = .seconds(1)
    /// How long a sandbox's end is held back for the end of its shim, with which its tasks end: their
    /// ends are reported before its own.
    public var lastWords: Duration = .milliseconds(500)
    /// Another process that holds the lock of the same task or sandbox.
    public var lock: Duration = .seconds(60)

    /// One bundle of those that a start finds: its shim's answers, all in all.
    public var load: Duration = .seconds(5)
    /// How many bundles a start looks at at once.
    public var concurrentLoads = 64

    /// How many creates and starts a shim of version 3 is asked for at once; more wait in line, each
    /// for at most ``change``. One of version 2 is asked for one at a time.
    public var concurrentStarts = 16

    public init() {}
  }
}
