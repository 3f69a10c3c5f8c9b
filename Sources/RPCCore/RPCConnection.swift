public import NIOCore
public import SwiftProtobuf
public import TransportCore

/// A caller over one connection, whatever its protocol.
///
/// Once the connection is gone every call fails, those under way and those to come, with reason
/// `.connectionClosed`. It is closed by ``close()`` or when the last reference goes.
public protocol RPCConnection: RPCCaller, AnyObject {
  /// Who is at the other end.
  var peer: PeerIdentity { get }
  /// The address that was connected to.
  var address: TransportAddress { get }
  var isConnected: Bool { get }

  /// Closes the connection and waits until that is done. Closing again does nothing.
  func close() async

  /// Waits until the connection has ended, whoever ended it. Returns early when the task is
  /// cancelled.
  func waitUntilClosed() async
}

/// Makes connections that speak one protocol.
public protocol RPCDialer: Sendable {
  /// The protocol that addresses name in front of the transport.
  var rpc: TransportAddress.RPCProtocol { get }

  /// Connects.
  ///
  /// - Parameter onClose: called once, when the connection has ended and all of its calls have
  ///   failed: with the reason, or nil if ``RPCConnection/close()`` was it. It must not block.
  /// - Throws: ``TransportError``: no connector for the address, every try failed, or what is there
  ///   speaks something else.
  func dial(
    _ address: TransportAddress, using connectors: TransportRegistry, options: ConnectOptions,
    onClose: (@Sendable (RPCError?) -> Void)?
  ) async throws(TransportError) -> any RPCConnection
}

/// The protocols that a process speaks, by their names in addresses.
public struct RPCDialers: Sendable {
  private var dialers: [TransportAddress.RPCProtocol: any RPCDialer] = [:]

  public init(_ dialers: [any RPCDialer] = []) {
    for dialer in dialers { register(dialer) }
  }

  /// Adds a dialer; one of the same protocol that is there already gives way.
  public mutating func register(_ dialer: any RPCDialer) { dialers[dialer.rpc] = dialer }

  /// Connects by the protocol that the address names; by ttrpc when it names none.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/noConnector`` when the
  ///   protocol is not spoken here, else what the dialer throws.
  public func dial(
    _ address: TransportAddress, using connectors: TransportRegistry,
    options: ConnectOptions = ConnectOptions(), onClose: (@Sendable (RPCError?) -> Void)? = nil
  ) async throws(TransportError) -> RPCLine {
    let rpc = address.rpc ?? .ttrpc
    guard let dialer = dialers[rpc] else {
      throw TransportError(
        code: .noConnector,
        message: "cannot connect to \(address): \(rpc.rawValue) is not spoken here",
        hint: rpc == .grpc
          ? "build Hawsepipe with its trait GRPC, which is on unless it was turned off, "
            + "and register GRPCDialer"
          : nil)
    }
    return RPCLine(
      try await dialer.dial(address, using: connectors, options: options, onClose: onClose))
  }
}

/// A connection of either protocol, as a caller that stubs can be made over.
public struct RPCLine: RPCCaller {
  public let connection: any RPCConnection

  public init(_ connection: any RPCConnection) { self.connection = connection }

  public nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response {
    try await connection.unary(method, request, returning: response, options: options)
  }

  public nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    try await connection.call(method, payload: payload, options: options)
  }

  public nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    try await connection.open(method, kind: kind, request: request, options: options)
  }
}
