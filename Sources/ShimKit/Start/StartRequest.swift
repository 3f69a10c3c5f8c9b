internal import ContainerdAPI
internal import ShimProtocol
public import SwiftProtobuf

/// What a daemon asks of `start`: the command line, the environment and standard input as one.
public struct StartRequest: Sendable {
  /// The dialects of daemons, by how the answer must look.
  public enum Dialect: String, Sendable, Hashable, CaseIterable {
    /// containerd up to 1.6: the address, and nothing else.
    case plain
    /// containerd 1.7 to 2.2: a JSON object.
    case json
    /// containerd 2.3 and newer: a protobuf message, for one.
    case protobuf
  }

  public var dialect: Dialect
  public var namespace: String
  /// The id of the task or the sandbox.
  public var id: String
  /// The bundle directory, absolute.
  public var bundle: String
  public var debug: Bool
  /// The daemon's gRPC address.
  public var daemonAddress: String
  /// Where the daemon takes events over ttrpc.
  public var eventsAddress: String
  /// The daemon's own version; empty for those that do not tell.
  public var daemonVersion: String
  /// The runtime options, and what else newer daemons send along. Older ones send one, or none.
  public var extensions: [Google_Protobuf_Any]
  /// Where the daemon wants the shim's sockets; nil for those that have no opinion.
  public var socketDirectory: String?
  public var environment: [String: String]

  /// The most that is read of standard input, in bytes (containerd `pkg/shim`).
  public static let maximumInputSize = 10 << 20

  /// Reads a request: told apart by who it is for, since each generation's message can be decoded as
  /// the other's (a type URL for an id, and its value for a namespace).
  ///
  /// - Parameters:
  ///   - input: all of standard input.
  ///   - bundle: the directory that `start` was run in.
  /// - Throws: `.invalidRequest`, `.invalidArguments`.
  public init(
    _ invocation: ShimInvocation, input: [UInt8], bundle: String
  ) throws(ShimKitError) {
    guard input.count <= Self.maximumInputSize else {
      throw ShimKitError(
        code: .invalidRequest,
        message: "standard input has more than the \(Self.maximumInputSize) bytes it may have")
    }
    namespace = invocation.namespace
    id = invocation.id
    self.bundle = bundle
    debug = invocation.debug
    daemonAddress = invocation.daemonAddress
    eventsAddress = invocation.eventsAddress
    daemonVersion = ""
    environment = invocation.environment
    // MAX_SHIM_VERSION says nothing about the version: that it is there says which daemon it is.
    dialect = invocation.maximumShimVersion == nil ? .plain : .json
    extensions = []
    try read(input)
    try ShimInvocation.check(namespace, .namespace)
    try ShimInvocation.check(id, .id)
  }

  /// The first extension of a type.
  ///
  /// - Throws: `.invalidRequest` when there is one and it cannot be decoded.
  public func `extension`<M: Message>(_ type: M.Type) throws(ShimKitError) -> M? {
    guard let found = extensions.first(where: { TypeURL.names($0.typeURL, type) }) else {
      return nil
    }
    do {
      return try M(serializedBytes: found.value)
    } catch {
      throw ShimKitError(
        code: .invalidRequest,
        message: "the \(M.protoMessageName) on standard input cannot be decoded", cause: error)
    }
  }

  private mutating func read(_ input: [UInt8]) throws(ShimKitError) {
    guard !input.isEmpty else { return }
    // Which of the two decodes is the question.
    if let params = try? Containerd_Runtime_Bootstrap_V1_BootstrapParams(serializedBytes: input),
      names(params)
    {
      take(params)
      return
    }
    guard let options = try? Google_Protobuf_Any(serializedBytes: input) else {
      throw ShimKitError(
        code: .invalidRequest,
        message: "the \(input.count) bytes on standard input are neither runtime options nor "
          + "bootstrap params",
        hint: "The daemon may have been upgraded without a restart, or be newer than this shim.")
    }
    guard options.unknownFields.data.isEmpty else {
      throw ShimKitError(
        code: .invalidRequest,
        message: "the request on standard input is for \(quoted(options.typeURL)) in another "
          + "namespace or of another id than the command line, which says \(quoted(id)) in "
          + "\(quoted(namespace))")
    }
    if !options.typeURL.isEmpty { extensions = [options] }
  }

  private func quoted(_ text: String) -> String { text.prefix(100).debugDescription }

  /// Whether a message is for whom the command line is for. A daemon that gives no such flags has
  /// none but this message to say it with.
  private func names(_ params: Containerd_Runtime_Bootstrap_V1_BootstrapParams) -> Bool {
    guard namespace.isEmpty, id.isEmpty else {
      return params.instanceID == id && params.namespace == namespace
    }
    return !params.instanceID.isEmpty && !params.namespace.isEmpty
  }

  private mutating func take(_ params: Containerd_Runtime_Bootstrap_V1_BootstrapParams) {
    func filled(_ new: String, _ old: String) -> String { new.isEmpty ? old : new }
    dialect = .protobuf
    id = params.instanceID
    namespace = params.namespace
    // The scale is open: what lies between or below the names of today counts, too.
    debug = debug || params.logLevel.rawValue <= -4
    daemonAddress = filled(params.containerdGrpcAddress, daemonAddress)
    eventsAddress = filled(params.containerdTtrpcAddress, eventsAddress)
    daemonVersion = params.containerdVersion
    extensions = params.extensions.filter(\.hasValue).map(\.value)
    if params.hasSocketDir, !params.socketDir.isEmpty { socketDirectory = params.socketDir }
  }
}
