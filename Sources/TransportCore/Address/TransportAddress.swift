/// Where a peer is and how to talk to it.
///
/// The grammar is `[rpc "+"] transport *("+" transport) "://" place ["?" parameters]`, with the
/// transports outermost first: `ttrpc+unix:///run/pod.sock`, `grpc+vsock://3:1024`,
/// `ttrpc+tls+vsock://3:1024`. `tls` alone stands for `tls+tcp`.
///
/// Two addresses are equal when their canonical ``text`` is the same, byte for byte; where they came
/// from does not matter.
public struct TransportAddress: Sendable {
  /// The protocol spoken over the connection.
  public enum RPCProtocol: String, Sendable, Hashable, CaseIterable {
    case ttrpc, grpc
  }

  /// Where the address came from, which decides what it may be.
  public enum Origin: Sendable, Hashable {
    /// A person or a configuration file: it may be anything.
    case configured
    /// A bundle, a shim's reply or an RPC: unix, vsock, hvsock, tcp and tls only, without
    /// parameters that name files or commands.
    case received
  }

  /// The innermost transport with its place.
  public enum Place: Sendable, Hashable {
    case unix(path: String)
    case abstract(name: String)
    /// `cid` is nil for "any" (listening only).
    case vsock(cid: UInt32?, port: UInt32)
    case hybridVsock(path: String, port: UInt32)
    /// A name or a literal, without the brackets of an IPv6 one.
    case tcp(host: String, port: UInt16)
    case descriptor(Int32)
    case memory(name: String)
    /// A command line, in the parameters: `arg` for each word, `env` for each `NAME=value`.
    case exec
    /// A transport of somebody else's: its name and its place, verbatim.
    case other(transport: String, place: String)
  }

  public struct Parameter: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  public var rpc: RPCProtocol?
  /// Layers around the place, outermost first, such as `["tls"]`.
  public var layers: [String]
  public var place: Place
  public var parameters: [Parameter]
  public internal(set) var origin: Origin

  public init(
    rpc: RPCProtocol? = nil, layers: [String] = [], place: Place, parameters: [Parameter] = []
  ) {
    self.rpc = rpc
    self.layers = layers
    self.place = place
    self.parameters = parameters
    self.origin = .configured
  }

  /// The innermost transport's name in addresses, such as `unix` or `hvsock`.
  public var transport: String {
    switch place {
    case .unix, .abstract: "unix"
    case .vsock: "vsock"
    case .hybridVsock: "hvsock"
    case .tcp: "tcp"
    case .descriptor: "fd"
    case .memory: "memory"
    case .exec: "exec"
    case .other(let transport, _): transport
    }
  }

  /// The value of the first parameter of that name.
  public func parameter(_ name: String) -> String? {
    parameters.first { $0.name == name }?.value
  }
}

extension TransportAddress: Hashable {
  // By the bytes: String's own equality takes two spellings of a character for one, but a socket's
  // name is its bytes.
  public static func == (left: TransportAddress, right: TransportAddress) -> Bool {
    left.text.utf8.elementsEqual(right.text.utf8)
  }

  public func hash(into hasher: inout Hasher) {
    var text = text
    text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}
