internal import CLinux
internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Where to connect to, and how to get there.
struct VsockTarget {
  let cid: UInt32
  let port: UInt32
  /// Whether the host is to pass the connection on.
  let viaHost: Bool

  init(_ address: TransportAddress, reachesSiblings: Bool) throws(AttemptFailure) {
    guard case .vsock(let cid, let port) = address.place else {
      throw Self.fault("\(address) is not a vsock address", errno: EAFNOSUPPORT)
    }
    guard let cid, cid != CLINUX_VSOCK_ANY else {
      throw Self.fault(
        "\"any\" is a CID to listen at", hint: "name the VM's CID, or 2 for the host")
    }
    guard cid != 0 else {
      throw Self.fault(
        "CID 0 is the hypervisor's own, where nobody listens",
        hint: "the host is CID 2, and guests begin at 3")
    }
    guard port != CLINUX_VSOCK_ANY else {
      throw Self.fault("port \(port) stands for any port, to listen at", hint: "name the port")
    }
    let asksForSibling = try Self.asksForSibling(address)
    self.cid = cid
    self.port = port
    viaHost = cid > 2 && (reachesSiblings || asksForSibling)
  }

  private static func asksForSibling(_ address: TransportAddress) throws(AttemptFailure) -> Bool {
    switch address.parameter("sibling") {
    case nil, "no": return false
    case "yes": return true
    case .some(let other):
      throw fault("the parameter sibling is \"\(other)\"", hint: "write sibling=yes or sibling=no")
    }
  }

  private static func fault(
    _ message: String, errno: Int32 = EINVAL, hint: String? = nil
  ) -> AttemptFailure {
    AttemptFailure(phase: .connect, errno: errno, message: message, outlook: .fatal, hint: hint)
  }

  /// A connected socket, which is the caller's.
  func connect(within limit: Duration) async throws(AttemptFailure) -> ClientSocket {
    let limit = Self.kernelLimit(limit)
    let made = clinux_vsock_socket()
    guard made >= 0 else { throw failure(-made, limit) }
    let socket = ClientSocket(owning: made)
    var result = -clinux_vsock_set_connect_timeout(made, limit.microseconds)
    if result == 0 {
      result = await socket.connect { clinux_vsock_connect(made, cid, port, viaHost) }
    }
    guard result == 0 else {
      socket.close()
      throw failure(result, limit)
    }
    return socket
  }

  /// The kernel gives up a little before the try is ended, so that the error is the one that knows
  /// what was waited for.
  private static func kernelLimit(_ limit: Duration) -> Duration {
    limit - min(limit / 20, .milliseconds(100))
  }

  private func failure(_ errno: Int32, _ limit: Duration) -> AttemptFailure {
    var ownCID: UInt32 = 0
    let known = errno == ENODEV && clinux_vsock_own_cid(&ownCID) == 0
    return VsockConnectFailure(
      cid: cid, port: port, errno: errno, limit: limit, ownCID: known ? ownCID : nil
    ).failure
  }
}
