/// Who is at the other end of a connection, as far as the transport can prove it.
///
/// Each facet is there only when the transport established it: layers combine, so a TLS connection
/// over a unix socket has two.
public struct PeerIdentity: Sendable, Hashable {
  /// What the kernel says of the process at the other end of a unix socket, as of its
  /// connect(2) or listen(2) (SO_PEERCRED).
  public struct UnixProcess: Sendable, Hashable {
    public var pid: Int32
    public var uid: UInt32
    public var gid: UInt32

    public init(pid: Int32, uid: UInt32, gid: UInt32) {
      self.pid = pid
      self.uid = uid
      self.gid = gid
    }
  }

  public var unix: UnixProcess?

  public init(unix: UnixProcess? = nil) {
    self.unix = unix
  }
}

extension PeerIdentity: CustomStringConvertible {
  public var description: String {
    guard let unix else { return "unidentified peer" }
    return "pid \(unix.pid), uid \(unix.uid), gid \(unix.gid)"
  }
}
