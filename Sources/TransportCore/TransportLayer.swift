/// Something that goes around any transport, such as TLS: written before it in an address
/// (`tls+vsock`).
///
/// A layer's connector dials through the inner one, whose `configure` it fills with its own handlers,
/// a ``ConnectionGate``, and behind that the caller's. It gives the inner connector
/// ``TransportAddress/inner`` and ``ConnectOptions/beneathLayer``, and checks the caller's policy
/// against both identities together when it has its own.
public protocol TransportLayer: Sendable {
  /// The layer's name in addresses, such as `tls`.
  var name: String { get }

  /// The names of the address parameters that it understands.
  var parameters: Set<String> { get }

  /// Whether nobody on the way can read or change what goes through it: then the transport beneath
  /// may cross a network in the clear.
  var isSecure: Bool { get }

  /// What dials through `inner` and then through this layer.
  func connector(over inner: any Connector) -> any Connector

  /// Finds out whether it could listen at an address, before anything is bound there.
  ///
  /// - Parameter address: the address from this layer on inwards, as
  ///   ``listener(over:at:options:)`` will get it.
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed``.
  func checkListening(at address: TransportAddress) async throws(TransportError)

  /// What takes connections from `inner` through this layer. `inner` is this listener's from here
  /// on; when this throws, it is still the caller's.
  ///
  /// - Parameter address: the address from this layer on inwards: it is its outermost.
  func listener(
    over inner: any Listener, at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener
}

extension TransportLayer {
  public var parameters: Set<String> { [] }
  public var isSecure: Bool { false }
}

extension TransportAddress {
  /// The address without its outermost layer: what that layer's inner transport dials. The parameters
  /// stay, since who reads which is known to the registry only.
  public var inner: TransportAddress {
    var inner = self
    if !inner.layers.isEmpty { inner.layers.removeFirst() }
    return inner
  }
}

extension ConnectOptions {
  /// The options for the transport beneath a layer that secures the connection. A policy of the
  /// caller's is the layer's to check, when it knows the whole identity; without one, the inner
  /// transport's own default holds beneath the layer's.
  public var beneathLayer: ConnectOptions {
    var options = self
    options.plaintext = .secured
    if options.policy != nil { options.policy = .anyone }
    return options
  }
}
