public import ShimManagement
public import ShimProtocol

/// What `hawse serve` is told by its configuration file.
public struct ServeConfiguration: Hashable, Sendable {
  public static let defaultPath = "/etc/hawsepipe/serve.toml"

  /// How a driver is made.
  public enum Driver: Hashable, Sendable {
    /// Shims of this host.
    case shim(Shim)
    /// Endpoints that are there already.
    case remote(RemoteDriver.Configuration)
  }

  /// What the driver of shims is told.
  public struct Shim: Hashable, Sendable {
    /// The shims' binary: an absolute path. nil: it is found by the runtime's name.
    public var binary: String?
    /// Whether shims are told to log at debug level.
    public var debug = false
    /// What shims get beside the start contract's own environment.
    public var environment = ShimEnvironment()
    /// How shims are spoken to when they start; nil: in the older dialect, and in the newer one when
    /// they refuse that.
    public var dialect: StartDialect?

    public init() {}
  }

  /// Where running state is kept: records, bundles, sockets.
  public var state = "/run/hawsepipe"
  /// Where work directories are kept.
  public var root = "/var/lib/hawsepipe"
  /// Where the API is served; nil: ``defaultAddress``.
  public var address: String?
  /// Whose sandboxes are had; nil: those of all namespaces.
  public var namespaces: Set<String>?
  public var drivers: [String: Driver] = ["shim": .shim(Shim())]
  /// Drivers' names by runtimes' names.
  public var runtimes: [String: String] = [:]
  /// The driver of runtimes that are not named.
  public var defaultDriver: String? = "shim"
  public var limits = ControlLimits()
  /// The ttrpc socket that shims send their events to: containerd's. nil: this program takes them.
  public var eventsSocket: String?
  /// A level of swift-log.
  public var logLevel = "info"
  /// How long a stop of the server waits for calls that are under way.
  public var grace: Duration = .seconds(10)
  /// What was passed over in the file, and should be mended.
  public var warnings: [Fault] = []

  public init() {}

  public var defaultAddress: String { "grpc+unix://\(state)/control/grpc.sock" }
  public var servedAddress: String { address ?? defaultAddress }

  /// Why a configuration cannot be meant.
  public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
    /// From 1.
    public var line: Int
    public var message: String
    /// What was probably meant: a clause.
    public var hint: String?

    public var description: String {
      "line \(line): \(message)" + (hint.map { " (\($0))" } ?? "")
    }
  }
}
