internal import ContainerdAPI
public import SwiftProtobuf

/// How a shim's binary is run: the contract of containerd 1.6 and newer (containerd `pkg/shim`,
/// `Command`). What `start` gets on standard input has changed with 2.3: ``StartDialect``.
///
/// This is data: whoever runs it puts the process into a group of its own, keeps standard output and
/// standard error apart, and bounds the time.
public struct ShimCommandLine: Hashable, Sendable {
  /// What every command of a shim is told.
  public struct Context: Hashable, Sendable {
    /// The shim's binary, absolute.
    public var binary: String
    /// The bundle directory, absolute; also the directory that the shim runs in.
    public var bundle: String
    public var namespace: String
    /// The id of the task or the sandbox.
    public var id: String
    /// The daemon's gRPC address. It is hashed into the name of the shim's socket.
    public var daemonAddress: String
    /// Where the daemon takes events over ttrpc.
    public var eventsAddress: String
    /// The program that shims run to publish an event when they cannot by ttrpc; absolute.
    public var publishBinary: String
    public var debug: Bool

    public init(
      binary: String, bundle: String, namespace: String, id: String, daemonAddress: String,
      eventsAddress: String, publishBinary: String, debug: Bool = false
    ) {
      self.binary = binary
      self.bundle = bundle
      self.namespace = namespace
      self.id = id
      self.daemonAddress = daemonAddress
      self.eventsAddress = eventsAddress
      self.publishBinary = publishBinary
      self.debug = debug
    }
  }

  public var executable: String
  /// Without the executable's own name in front.
  public var arguments: [String]
  public var environment: [String: String]
  public var workingDirectory: String
  /// All of standard input; empty for none.
  public var standardInput: [UInt8]

  /// Starts a shim, or finds the one that serves the sandbox already. It prints a ``BootstrapReply``.
  ///
  /// - Parameters:
  ///   - inherited: The environment to start from. What the contract sets wins.
  ///   - extra: Wins over both (containerd's `env` setting of its shim manager).
  ///   - options: The task's options, which go to standard input.
  ///   - dialect: How they go there.
  /// - Throws: `.invalidIdentifier` for the id or the namespace, `.invalidArgument` for a path that is
  ///   not absolute or text that cannot be passed.
  public static func start(
    _ context: Context, inherited: [String: String], extra: [String: String] = [:],
    options: Google_Protobuf_Any? = nil, dialect: StartDialect = .options
  ) throws(ShimProtocolError) -> ShimCommandLine {
    try check(context)
    let arguments = common(context) + ["-id", context.id] + debug(context) + ["start"]
    let input: [UInt8]
    do {
      switch dialect {
      case .options: input = try options?.serializedBytes() ?? []
      case .bootstrap: input = try bootstrap(context, options).serializedBytes()
      }
    } catch {
      throw ShimProtocolError(
        code: .invalidArgument, message: "the options of \(context.id) could not be encoded",
        cause: error)
    }
    return ShimCommandLine(
      executable: context.binary, arguments: arguments,
      environment: try environment(context, inherited, extra),
      workingDirectory: context.bundle, standardInput: input)
  }

  /// Cleans up behind a shim that has died. It prints a `containerd.task.v2.DeleteResponse`.
  ///
  /// - Throws: as ``start(_:inherited:extra:options:)``.
  public static func delete(
    _ context: Context, inherited: [String: String], extra: [String: String] = [:]
  ) throws(ShimProtocolError) -> ShimCommandLine {
    try check(context)
    return ShimCommandLine(
      executable: context.binary,
      arguments: common(context) + ["-id", context.id, "-bundle", context.bundle]
        + debug(context) + ["delete"],
      environment: try environment(context, inherited, extra),
      workingDirectory: context.bundle, standardInput: [])
  }

  private static func bootstrap(
    _ context: Context, _ options: Google_Protobuf_Any?
  ) -> Containerd_Runtime_Bootstrap_V1_BootstrapParams {
    .with {
      $0.instanceID = context.id
      $0.namespace = context.namespace
      $0.logLevel = context.debug ? .debug : .info
      $0.containerdTtrpcAddress = context.eventsAddress
      $0.containerdGrpcAddress = context.daemonAddress
      $0.containerdBinary = context.publishBinary
      if let options { $0.extensions = [.with { $0.value = options }] }
    }
  }

  private static func common(_ context: Context) -> [String] {
    [
      "-namespace", context.namespace, "-address", context.daemonAddress, "-publish-binary",
      context.publishBinary,
    ]
  }

  private static func debug(_ context: Context) -> [String] {
    context.debug ? ["-debug"] : []
  }

  private static func environment(
    _ context: Context, _ inherited: [String: String], _ extra: [String: String]
  ) throws(ShimProtocolError) -> [String: String] {
    for (name, value) in Array(inherited) + Array(extra) {
      guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")), !name.utf8.contains(0),
        !value.utf8.contains(0)
      else {
        throw ShimProtocolError(
          code: .invalidArgument,
          message: "\(quoted(name)) cannot be set in a shim's environment")
      }
    }
    let own = [
      // Shims idle most of the time: two threads keep the many of them small.
      "GOMAXPROCS": "2",
      "TTRPC_ADDRESS": context.eventsAddress,
      "GRPC_ADDRESS": context.daemonAddress,
      "NAMESPACE": context.namespace,
      // The generation of the runtime interface, not the version of the task service.
      "MAX_SHIM_VERSION": "2",
    ]
    return inherited.merging(own) { _, own in own }.merging(extra) { _, extra in extra }
  }

  private static func check(_ context: Context) throws(ShimProtocolError) {
    try Identifier.validate(context.id, as: .id)
    try Identifier.validate(context.namespace, as: .namespace)
    for path in [context.binary, context.bundle, context.publishBinary] {
      guard path.hasPrefix("/"), !path.utf8.contains(0) else {
        throw ShimProtocolError(
          code: .invalidArgument,
          message: "\(quoted(path)) must be an absolute path to be passed to a shim")
      }
    }
    for address in [context.daemonAddress, context.eventsAddress] {
      guard !address.unicodeScalars.contains(where: isControl) else {
        throw ShimProtocolError(
          code: .invalidArgument,
          message: "\(quoted(address)) cannot be passed to a shim as an address")
      }
    }
  }
}
