internal import ShimProtocol

/// How the shim's binary was run: its flags and the part of its environment that the contract with
/// the daemon names (containerd `pkg/shim`), read once.
public struct ShimInvocation: Sendable, Hashable {
  public enum Action: String, Sendable, Hashable, CaseIterable {
    /// Starts a serving process, or finds the one of the group, and prints where it listens.
    case start
    /// Cleans up behind a shim that is gone.
    case delete
    /// Serves, at a socket that `start` has bound.
    case serve
    /// Prints name and version.
    case version
    /// Prints what the runtime is and can do.
    case info
  }

  public var action: Action
  /// The program's own name, as it was run.
  public var program: String
  /// May be empty for `start` alone, whose request on standard input then has it.
  public var namespace: String
  /// The id of the task or the sandbox. May be empty as `namespace`.
  public var id: String
  /// The bundle as `delete` is told it; empty for the directory that the program runs in.
  public var bundle: String
  public var debug: Bool
  /// The daemon's gRPC address: `-address`, else `GRPC_ADDRESS`.
  public var daemonAddress: String
  /// Where the daemon takes events: `TTRPC_ADDRESS`.
  public var eventsAddress: String
  /// The program that older shims ran to publish events.
  public var publishBinary: String
  /// Where to listen when no socket was handed over: the path behind `-socket`.
  public var socket: String
  /// `MAX_SHIM_VERSION`, which daemons set since containerd 1.7.
  public var maximumShimVersion: String?
  /// All of it.
  public var environment: [String: String]

  /// - Parameters:
  ///   - arguments: with the program's own name in front.
  ///   - environment: of the process.
  /// - Throws: `.invalidArguments`.
  public init(arguments: [String], environment: [String: String]) throws(ShimKitError) {
    let flags = try ShimFlags(arguments.dropFirst())
    program = arguments.first ?? "shim"
    action = try Self.action(of: flags)
    namespace = flags["namespace"]
    id = flags["id"]
    bundle = flags["bundle"]
    debug = flags.switches.contains("debug")
    daemonAddress = flags.values["address"] ?? environment["GRPC_ADDRESS"] ?? ""
    eventsAddress = environment["TTRPC_ADDRESS"] ?? ""
    publishBinary = flags["publish-binary"]
    socket = flags["socket"]
    maximumShimVersion = environment["MAX_SHIM_VERSION"]
    self.environment = environment
    try validate()
  }

  private static func action(of flags: ShimFlags) throws(ShimKitError) -> Action {
    if !flags.switches.isDisjoint(with: ["v", "version"]) { return .version }
    if flags.switches.contains("info") { return .info }
    switch flags.action {
    case nil: return .serve
    case "start": return .start
    case "delete": return .delete
    case .some(let action):
      throw ShimKitError(
        code: .invalidArguments,
        message: "there is no action \(action.prefix(100).debugDescription)",
        hint: "It is start or delete, or none to serve.")
    }
  }

  /// Both become names of files and parts of paths.
  private func validate() throws(ShimKitError) {
    switch action {
    case .version, .info: return
    case .start:
      if !namespace.isEmpty { try Self.check(namespace, .namespace) }
      if !id.isEmpty { try Self.check(id, .id) }
    case .delete, .serve:
      try Self.check(namespace, .namespace)
      try Self.check(id, .id)
    }
  }

  static func check(_ text: String, _ kind: Identifier.Kind) throws(ShimKitError) {
    do {
      try Identifier.validate(text, as: kind)
    } catch {
      throw ShimKitError(
        code: .invalidArguments, message: "the shim was run with -\(kind.rawValue) wrong",
        hint: "containerd gives both -namespace and -id to every command.", cause: error)
    }
  }
}
