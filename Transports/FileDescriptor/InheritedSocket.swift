internal import CLinux
internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// A stream socket that came into this process as a descriptor.
struct InheritedSocket {
  enum Role {
    case connection
    case listener
  }

  enum Family {
    case unix
    case tcp
    case vsock
  }

  let descriptor: CInt
  let family: Family

  /// Looks whether the descriptor is what it should be, and makes it close-on-exec and non-blocking.
  /// The latter changes it for every process that holds the same socket.
  init(_ number: Int32, as role: Role) throws(DescriptorFault) {
    guard fcntl(number, F_GETFD) >= 0 else { throw .notOpen }
    try Self.checkIsSocket(number)
    let type = try Self.option(SO_TYPE, of: number)
    guard type == Int32(SOCK_STREAM.rawValue) else { throw .notStream(Self.name(ofType: type)) }
    let local = try SocketName(local: number)
    switch local.family {
    case AF_UNIX: family = .unix
    case AF_INET, AF_INET6: family = .tcp
    case AF_VSOCK: family = .vsock
    default: throw .family(local.family)
    }
    let listens = try Self.option(SO_ACCEPTCONN, of: number) != 0
    switch role {
    case .listener: guard listens else { throw .notListening }
    case .connection:
      guard !listens else { throw .listening }
      do throws(DescriptorFault) {
        _ = try SocketName(peer: number)
      } catch {
        throw error.errno == ENOTCONN ? .notConnected : error
      }
    }
    guard fcntl(number, F_SETFD, FD_CLOEXEC) >= 0 else { throw .system(errno, "fcntl") }
    let result = clinux_set_nonblocking(number)
    guard result == 0 else { throw .system(-result, "fcntl") }
    descriptor = number
  }

  private static func checkIsSocket(_ number: Int32) throws(DescriptorFault) {
    var status = stat()
    guard fstat(number, &status) == 0 else { throw .system(errno, "fstat") }
    switch status.st_mode & S_IFMT {
    case S_IFSOCK: return
    case S_IFIFO: throw .notSocket("a pipe")
    case S_IFCHR: throw .notSocket(isatty(number) == 1 ? "a terminal" : "a character device")
    case S_IFREG: throw .notSocket("a regular file")
    case S_IFDIR: throw .notSocket("a directory")
    default: throw .notSocket("something else")
    }
  }

  private static func option(_ name: Int32, of number: Int32) throws(DescriptorFault) -> Int32 {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    guard getsockopt(number, SOL_SOCKET, name, &value, &size) == 0 else {
      throw .system(errno, "getsockopt")
    }
    return value
  }

  private static func name(ofType type: Int32) -> String {
    switch type {
    case Int32(SOCK_DGRAM.rawValue): "datagram"
    case Int32(SOCK_SEQPACKET.rawValue): "sequenced-packet"
    case Int32(SOCK_RAW.rawValue): "raw"
    default: "type \(type)"
    }
  }

  /// Where it is bound.
  ///
  /// - Throws: `notListening` for a unix socket without a name that can be told.
  func boundPlace() throws(DescriptorFault) -> TransportAddress.Place {
    switch family {
    case .unix:
      var name = [UInt8](repeating: 0, count: Int(CLINUX_UNIX_NAME_LIMIT) + 1)
      var isAbstract = false
      let length = clinux_unix_bound_name(descriptor, &name, &isAbstract)
      guard length >= 0 else { throw .system(-length, "getsockname") }
      guard length > 0, let text = String(validating: name.prefix(Int(length)), as: UTF8.self)
      else { return .descriptor(descriptor) }
      return isAbstract ? .abstract(name: text) : .unix(path: text)
    case .tcp:
      let endpoint = try SocketName(local: descriptor).network()
      return .tcp(host: endpoint.host, port: endpoint.port)
    case .vsock:
      var endpoint = clinux_vsock_endpoint()
      let result = clinux_vsock_local(descriptor, &endpoint)
      guard result == 0 else { throw .system(-result, "getsockname") }
      let cid = endpoint.cid == CLINUX_VSOCK_ANY ? nil : endpoint.cid
      return .vsock(cid: cid, port: endpoint.port)
    }
  }
}

/// Who is at the other end of a connected socket, as its family tells.
func peerIdentity(
  of descriptor: CInt, _ family: InheritedSocket.Family
) throws(DescriptorFault) -> PeerIdentity {
  switch family {
  case .unix:
    var credentials = clinux_peer_credentials()
    let result = clinux_peer_credentials(descriptor, &credentials)
    guard result == 0 else { throw .system(-result, "getsockopt") }
    return PeerIdentity(
      unix: .init(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid))
  case .tcp:
    return PeerIdentity(network: try SocketName(peer: descriptor).network())
  case .vsock:
    var endpoint = clinux_vsock_endpoint()
    let result = clinux_vsock_peer(descriptor, &endpoint)
    guard result == 0 else { throw .system(-result, "getpeername") }
    return PeerIdentity(vsock: .init(cid: endpoint.cid, port: endpoint.port))
  }
}
