internal import CLinux
internal import LinuxSystem
internal import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Listens on AF_VSOCK: at one CID of this machine's, or at `any`; the port 0, or 4294967295, takes
/// a free one.
///
/// By default only the host may connect (``PeerPolicy/hostOnly``): otherwise whoever runs in the
/// guest, and a sibling VM where the host passes its connections on, could talk to the guest's agent.
/// Linux keeps ports below 1024 for processes with CAP_NET_BIND_SERVICE.
public struct VsockListenerFactory: ListenerFactory {
  public let transport = "vsock"

  public init() {}

  /// It makes a few system calls on the calling thread; none of them waits for a peer.
  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    let binding = VsockBinding(address: address)
    guard case .vsock(let cid, let port) = address.place else {
      throw binding.failed("it is not a vsock address", EAFNOSUPPORT)
    }
    let descriptor = clinux_vsock_socket()
    try binding.check(descriptor, "no socket to be had")
    do throws(TransportError) {
      let cid = cid ?? CLINUX_VSOCK_ANY
      // 0 is a port like any other to the kernel, but nobody else's idea of one.
      let port = port == 0 ? CLINUX_VSOCK_ANY : port
      try binding.check(clinux_vsock_bind(descriptor, cid, port), "cannot bind")
      try binding.check(clinux_listen(descriptor, options.backlog), "cannot listen")
      let bound = try binding.boundAddress(of: descriptor)
      return Self.listener(descriptor, bound, options)
    } catch {
      close(descriptor)
      throw error
    }
  }

  /// Takes over a socket that another process bound and listens on, such as one that was inherited.
  ///
  /// The descriptor is the listener's from here on, also when this throws.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed`` when it is no
  ///   listening vsock stream socket.
  public func listen(
    adopting descriptor: CInt, options: ListenOptions = ListenOptions()
  ) throws(TransportError) -> any Listener {
    var endpoint = clinux_vsock_endpoint()
    var result = clinux_vsock_local(descriptor, &endpoint)
    if result == 0 { result = clinux_check_listening(descriptor) }
    if result == 0 { result = clinux_set_nonblocking(descriptor) }
    guard result == 0 else {
      close(descriptor)
      throw TransportError(
        code: .listenFailed,
        message: "descriptor \(descriptor) is not a listening vsock stream socket: "
          + "\(errnoText(-result)) (\(errnoName(-result)))")
    }
    return Self.listener(descriptor, TransportAddress(endpoint), options)
  }

  private static func listener(
    _ descriptor: CInt, _ address: TransportAddress, _ options: ListenOptions
  ) -> SocketListener {
    SocketListener(
      descriptor: descriptor, address: address, options: options, defaultPolicy: .hostOnly
    ) { channel in
      channel.eventLoop.makeCompletedFuture {
        try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) {
          try PeerIdentity(vsockPeerOf: $0)
        } ?? PeerIdentity()
      }
    }
  }
}

/// The errors on the way from an address to a listening socket.
struct VsockBinding {
  let address: TransportAddress

  func check(_ result: Int32, _ what: String) throws(TransportError) {
    guard result < 0 else { return }
    throw failed(what, -result)
  }

  func boundAddress(of descriptor: CInt) throws(TransportError) -> TransportAddress {
    var endpoint = clinux_vsock_endpoint()
    try check(clinux_vsock_local(descriptor, &endpoint), "the kernel does not tell the port")
    var bound = address
    bound.place = TransportAddress(endpoint).place
    return bound
  }

  func failed(_ what: String, _ number: Int32) -> TransportError {
    TransportError(
      code: .listenFailed,
      message: "cannot listen at \(address): \(what): \(errnoText(number)) (\(errnoName(number)))",
      hint: hint(number))
  }

  private func hint(_ number: Int32) -> String? {
    switch number {
    case EADDRINUSE: "another process listens there; stop it or choose another port"
    case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one"
    case EPERM: "this process may not use vsock; a container's seccomp profile may forbid it"
    case EADDRNOTAVAIL: "the CID is not this machine's; write vsock://any:… to listen at all it has"
    case EAFNOSUPPORT where address.transport == "vsock":
      "there is no vsock on this machine; load its module: modprobe vsock"
    default: nil
    }
  }
}

extension TransportAddress {
  init(_ endpoint: clinux_vsock_endpoint) {
    let cid = endpoint.cid == CLINUX_VSOCK_ANY ? nil : endpoint.cid
    self.init(place: .vsock(cid: cid, port: endpoint.port))
  }
}
