/// What a shim tells about its endpoint when it was started, and what is remembered of it in the
/// bundle's `bootstrap.json`.
public struct BootstrapParams: Hashable, Sendable {
  /// The version of the task service: 2 or 3.
  public var version: Int
  /// Where the shim listens, in containerd's shim form: `unix:///path`, `vsock://cid:port`,
  /// `hvsock:///path:port`, or a bare name, which is an abstract socket for ttrpc.
  public var address: String
  /// `ttrpc` or `grpc`, in lower case.
  public var protocolName: String
  /// Numbers of containerd's `Capability`, of which none has a meaning yet.
  public var capabilities: [Int32]
  public var metadata: [String: String]

  public init(
    version: Int, address: String, protocolName: String, capabilities: [Int32] = [],
    metadata: [String: String] = [:]
  ) {
    self.version = version
    self.address = address
    self.protocolName = protocolName
    self.capabilities = capabilities
    self.metadata = metadata
  }

  /// Checks what a client of the endpoint relies on (containerd `core/runtime/v2`: versions 2 and 3,
  /// ttrpc and gRPC, gRPC only with version 3; an address).
  ///
  /// - Throws: `.unsupportedVersion`, `.unsupportedProtocol`, or `.damagedReply` when the address is
  ///   missing or has control characters.
  public func validate() throws(ShimProtocolError) {
    guard version >= 2 else {
      throw ShimProtocolError(
        code: .unsupportedVersion,
        message: "the shim names no version of the task service that exists (\(version)); "
          + "it must be 2 or 3")
    }
    guard version <= 3 else {
      throw ShimProtocolError(
        code: .unsupportedVersion,
        message: "the shim serves version \(version) of the task service, and the newest that is "
          + "understood here is 3; use an older shim or a newer hawsepipe")
    }
    switch protocolName {
    case "ttrpc": break
    case "grpc":
      guard version >= 3 else {
        throw ShimProtocolError(
          code: .unsupportedProtocol,
          message: "the shim says grpc with version 2 of the task service, which only ttrpc has")
      }
    case "":
      throw ShimProtocolError(
        code: .unsupportedProtocol,
        message: "the shim does not say which protocol it speaks; it must be ttrpc or grpc")
    default:
      throw ShimProtocolError(
        code: .unsupportedProtocol,
        message: "the shim speaks \(quoted(protocolName)); it must be ttrpc or grpc")
    }
    guard !address.isEmpty else {
      throw ShimProtocolError(code: .damagedReply, message: "the shim gives no address")
    }
    guard !address.unicodeScalars.contains(where: isControl) else {
      throw ShimProtocolError(
        code: .damagedReply,
        message: "the shim's address has control characters in it: \(quoted(address))")
    }
  }

  /// ASCII lower case: containerd compares the protocol without regard to case.
  static func canonicalProtocol(_ name: String) -> String {
    String(
      decoding: name.utf8.map { byte in
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
      }, as: UTF8.self)
  }
}
