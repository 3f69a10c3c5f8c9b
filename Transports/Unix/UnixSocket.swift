internal import CLinux
internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// A unix stream socket that nobody else owns yet. Whoever made it closes it or hands it on, once.
struct UnixSocket {
  let descriptor: CInt

  init() throws(AttemptFailure) {
    let result = clinux_unix_socket()
    guard result >= 0 else {
      throw AttemptFailure(
        phase: .connect, errno: -result, message: "no socket to be had: " + errnoText(-result),
        outlook: UnixConnectFailure.outlook(-result))
    }
    descriptor = result
  }

  init(adopting descriptor: CInt) { self.descriptor = descriptor }

  func close() {
    // On Linux the descriptor is gone whatever close(2) returns.
    _ = Glibc.close(descriptor)
  }
}

/// What a unix socket is called: a path, or an abstract name.
struct UnixSocketName: Sendable {
  let bytes: String
  let isAbstract: Bool

  init(_ address: TransportAddress) throws(AttemptFailure) {
    switch address.place {
    case .unix(let path): (bytes, isAbstract) = (path, false)
    case .abstract(let name): (bytes, isAbstract) = (name, true)
    default:
      throw AttemptFailure(
        phase: .connect, errno: EAFNOSUPPORT, message: "\(address) is not a unix socket's address",
        outlook: .fatal)
    }
    if let fault {
      throw AttemptFailure(phase: .connect, errno: EINVAL, message: fault, outlook: .fatal)
    }
  }

  /// Why this can be no socket's name, or nil. An address that was parsed never has a fault, one
  /// that was put together by a program may.
  private var fault: String? {
    if bytes.isEmpty { return "the socket's name is empty" }
    if bytes.utf8.contains(0) { return "the socket's name has a NUL byte in it" }
    if isAbstract { return nil }
    return bytes.utf8.first == UInt8(ascii: "/") ? nil : "the path \(bytes) is not absolute"
  }

  var isLong: Bool { bytes.utf8.count > Int(CLINUX_UNIX_NAME_LIMIT) }

  /// 0, or the negative error number.
  func connect(_ socket: UnixSocket) -> Int32 {
    guard isLong, !isAbstract else { return connect(socket.descriptor, to: bytes) }
    // A path that no sockaddr holds is reached through a handle on the socket's file.
    let handle = clinux_open_path(bytes, false)
    guard handle >= 0 else { return handle }
    defer { close(handle) }
    return connect(socket.descriptor, to: "/proc/self/fd/\(handle)")
  }

  private func connect(_ descriptor: CInt, to name: String) -> Int32 {
    var name = name
    return name.withUTF8 {
      clinux_unix_connect(descriptor, $0.baseAddress, $0.count, isAbstract)
    }
  }

  /// What kind of file is there instead of a socket, or nil.
  var otherFile: String? {
    var status = stat()
    guard !isAbstract, stat(bytes, &status) == 0 else { return nil }
    switch status.st_mode & S_IFMT {
    case S_IFSOCK: return nil
    case S_IFDIR: return "a directory"
    case S_IFREG: return "a regular file"
    case S_IFIFO: return "a fifo"
    default: return "a device"
    }
  }
}
