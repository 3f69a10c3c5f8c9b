import FileDescriptorTransport
import Glibc
import LinuxSystem
import NIOCore
import NIOPosix
import Testing
import TransportCore

struct Failure: Error { var what: String }

/// Everything that a connection brings, as texts.
final class Incoming: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let texts: AsyncStream<String>.Continuation

  init(_ texts: AsyncStream<String>.Continuation) { self.texts = texts }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    texts.yield(String(buffer: unwrapInboundIn(data)))
  }

  func channelInactive(context: ChannelHandlerContext) { texts.finish() }
}

extension TransportAddress {
  static func descriptor(_ number: Int32) -> TransportAddress {
    TransportAddress(place: .descriptor(number))
  }
}

extension ConnectOptions {
  /// Limits that only a hang reaches, however busy the machine is.
  static func patient(mode: Mode = .failFast, policy: PeerPolicy? = nil) -> ConnectOptions {
    ConnectOptions(timeout: .seconds(600), tryLimit: .seconds(600), mode: mode, policy: policy)
  }
}

func check(_ result: Int32, _ what: String) throws -> Int32 {
  guard result >= 0 else { throw Failure(what: "\(what): \(errnoText(errno))") }
  return result
}

/// Sockets as a parent would have made them: inheritable and blocking.
enum Made {
  /// Makes them close-on-exec from their first moment on, for tests beside which programs are started:
  /// exit tests of this process, say. Those would hold a connection open that its owner closes.
  @TaskLocal static var isPrivate = false

  private static var flags: Int32 { isPrivate ? Int32(SOCK_CLOEXEC.rawValue) : 0 }

  static func pair(_ type: __socket_type = SOCK_STREAM) throws -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    _ = try check(socketpair(AF_UNIX, Int32(type.rawValue) | flags, 0, &ends), "socketpair")
    return (ends[0], ends[1])
  }

  static func socket(_ family: Int32, _ type: __socket_type = SOCK_STREAM) throws -> Int32 {
    try check(Glibc.socket(family, Int32(type.rawValue) | flags, 0), "socket")
  }

  /// A socket that listens on TCP, at a free port.
  static func tcpListener(_ host: in_addr_t) throws -> (descriptor: Int32, address: sockaddr_in) {
    let descriptor = try socket(AF_INET)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr = in_addr(s_addr: host.bigEndian)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    try withUnsafeMutablePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        _ = try check(bind(descriptor, pointer, size), "bind")
        _ = try check(listen(descriptor, 16), "listen")
        _ = try check(getsockname(descriptor, pointer, &size), "getsockname")
      }
    }
    return (descriptor, address)
  }

  static func accepted(_ listener: Int32) throws -> Int32 {
    let descriptor = try check(accept(listener, nil, nil), "accept")
    if isPrivate { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    return descriptor
  }

  /// A blocking connect.
  static func tcpConnection(to address: sockaddr_in) throws -> Int32 {
    let descriptor = try socket(AF_INET)
    var address = address
    try withUnsafePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        _ = try check(
          connect(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)), "connect")
      }
    }
    return descriptor
  }

  /// A socket that listens on a unix socket without a file.
  static func unixListener() throws -> (descriptor: Int32, address: sockaddr_un, size: socklen_t) {
    let descriptor = try socket(AF_UNIX)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var size = socklen_t(MemoryLayout<sockaddr_un>.size)
    try withUnsafeMutablePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        // The family alone: the kernel chooses an abstract name.
        _ = try check(bind(descriptor, pointer, socklen_t(MemoryLayout<sa_family_t>.size)), "bind")
        _ = try check(listen(descriptor, 16), "listen")
        _ = try check(getsockname(descriptor, pointer, &size), "getsockname")
      }
    }
    return (descriptor, address, size)
  }

  static func unixConnection(to address: sockaddr_un, _ size: socklen_t) throws -> Int32 {
    let descriptor = try socket(AF_UNIX)
    var address = address
    try withUnsafePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        _ = try check(connect(descriptor, pointer, size), "connect")
      }
    }
    return descriptor
  }
}

/// `count` bytes, or those before the end. It does not block its thread: those of the pool are few, and
/// who is to write needs one.
func readText(_ socket: Int32, _ count: Int) async throws -> String {
  var bytes: [UInt8] = []
  while bytes.count < count {
    var chunk = [UInt8](repeating: 0, count: count - bytes.count)
    let got = recv(socket, &chunk, chunk.count, Int32(MSG_DONTWAIT))
    if got < 0, errno == EAGAIN {
      try await Task.sleep(for: .milliseconds(2))
      continue
    }
    guard got > 0 else { break }
    bytes += chunk[..<got]
  }
  return String(decoding: bytes, as: UTF8.self)
}

func writeText(_ descriptor: Int32, _ text: String) throws {
  let bytes = Array(text.utf8)
  guard write(descriptor, bytes, bytes.count) == bytes.count else {
    throw Failure(what: "write: \(errnoText(errno))")
  }
}
