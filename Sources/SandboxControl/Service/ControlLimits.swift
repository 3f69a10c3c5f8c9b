/// How long the controller waits, at most, for each thing that somebody else does. Those that
/// containerd names have its names in the configuration, and its defaults.
public struct ControlLimits: Hashable, Sendable {
  /// Finding one sandbox again: `io.containerd.timeout.shim.load`.
  public var load: Duration = .seconds(5)
  /// Cleaning up after one that failed or is dead: `io.containerd.timeout.shim.cleanup`.
  public var cleanup: Duration = .seconds(5)
  /// The answer to ShutdownSandbox: `io.containerd.timeout.shim.shutdown`.
  public var shutdown: Duration = .seconds(3)
  /// A call that only asks: `io.containerd.timeout.task.state`.
  public var state: Duration = .seconds(2)
  /// The answer to SandboxMetrics: `io.containerd.timeout.metrics.shimstats`.
  public var metrics: Duration = .seconds(2)
  /// Making a sandbox: `io.hawsepipe.timeout.sandbox.create`.
  public var create: Duration = .seconds(60)
  /// Starting it: `io.hawsepipe.timeout.sandbox.start`.
  public var start: Duration = .seconds(60)
  /// Ending what runs in it, when the caller does not say, and the most that a caller may ask for:
  /// `io.hawsepipe.timeout.sandbox.stop`.
  public var stop: Duration = .seconds(60)

  public init() {}
}
