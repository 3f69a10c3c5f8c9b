import Glibc
import LinuxSystem
import Testing

/// A unix socket driven by plain blocking calls on threads of its own: what a peer without NIO does.
struct RawSocket: Sendable {
  let descriptor: CInt

  /// A wait of a peer is against hangs only.
  private static let patience = timeval(tv_sec: 30, tv_usec: 0)

  init(adopting descriptor: CInt) throws {
    try #require(descriptor >= 0, "errno \(errno)")
    self.descriptor = descriptor
    var limit = Self.patience
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
  }

  static func listening(at path: String) throws -> RawSocket {
    let socket = try RawSocket(adopting: make())
    let result = withAddress(path) { bind(socket.descriptor, $0, $1) }
    try #require(result == 0 && listen(socket.descriptor, 512) == 0, "errno \(errno)")
    return socket
  }

  struct NotConnected: Error { var errno: Int32 }

  static func connected(to path: String) throws -> RawSocket {
    let socket = try RawSocket(adopting: make())
    let result = withAddress(path) { connect(socket.descriptor, $0, $1) }
    guard result == 0 else {
      defer { socket.close() }
      throw NotConnected(errno: errno)
    }
    return socket
  }

  private static func make() -> CInt {
    let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
    return socket(AF_UNIX, type, 0)
  }

  private static func withAddress(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
  ) -> CInt {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix(107)) }
    return withUnsafePointer(to: address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }

  // MARK: Waiting for the peer

  func accept() async throws -> RawSocket {
    let descriptor = self.descriptor
    let accepted = try await onThread {
      let accepted = Glibc.accept(descriptor, nil, nil)
      _ = fcntl(accepted, F_SETFD, FD_CLOEXEC)
      return accepted
    }
    return try RawSocket(adopting: accepted)
  }

  /// All of it, or as much as the peer takes.
  ///
  /// - Returns: how much was written.
  @discardableResult
  func write(_ bytes: [UInt8]) async throws -> Int {
    let descriptor = self.descriptor
    return try await onThread {
      var done = 0
      while done < bytes.count {
        let count = bytes.withUnsafeBytes {
          send(
            descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done,
            CInt(MSG_NOSIGNAL))
        }
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { break }
        done += count
      }
      return done
    }
  }

  struct Input: Sendable, Equatable {
    var bytes: [UInt8] = []
    /// 0 when the input ended in order.
    var errno: Int32 = 0
    var isEnded = false
  }

  /// Up to a number of bytes, or the end.
  func read(_ most: Int = .max, atOnce: Int = 64 << 10) async throws -> Input {
    let descriptor = self.descriptor
    return try await onThread {
      var input = Input()
      var chunk = [UInt8](repeating: 0, count: atOnce)
      while input.bytes.count < most {
        let count = Glibc.read(descriptor, &chunk, min(chunk.count, most - input.bytes.count))
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else {
          input.isEnded = true
          input.errno = count < 0 ? errno : 0
          break
        }
        input.bytes += chunk[..<count]
      }
      return input
    }
  }

  func endOutput() { shutdown(descriptor, CInt(SHUT_WR)) }
  func close() { Glibc.close(descriptor) }
}

/// Runs what waits on a thread of its own, so that no test keeps another's tasks from running.
func onThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async throws -> Result {
  try await withCheckedThrowingContinuation { continuation in
    do throws(SystemError) {
      try startThread("peer") { continuation.resume(returning: body()) }
    } catch {
      continuation.resume(throwing: error)
    }
  }
}

/// Bytes that tell where in a stream they belong.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var state = seed
  return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
    // Eight at once: bytes one by one take minutes in a debug build.
    for start in stride(from: 0, to: count, by: 8) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      withUnsafeBytes(of: state.byteSwapped) { word in
        let part = min(8, count - start)
        UnsafeMutableRawBufferPointer(buffer)[start..<start + part].copyBytes(
          from: UnsafeRawBufferPointer(rebasing: word[..<part]))
      }
    }
    initialized = count
  }
}
