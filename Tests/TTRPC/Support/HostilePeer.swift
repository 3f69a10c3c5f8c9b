import Glibc
import NIOPosix
import RPCCore
import TransportCore
import UnixTransport

@testable import TTRPC

/// A peer that does what it likes with its socket: it writes without reading, stops anywhere and
/// waits for nobody. Its functions block, and run on a thread of their own.
final class HostilePeer: Sendable {
  private let descriptor: Int32

  /// How long the other end must take nothing before it counts as having stopped reading, in
  /// milliseconds.
  private static let stall: Int32 = 700
  /// How long it is given to take or to send what it has to, however busy the machine is.
  private static let patience: Int32 = 30_000

  /// Connects to an abstract socket.
  init(to name: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let length = MemoryLayout<sa_family_t>.size + 1 + name.utf8.count
    withUnsafeMutableBytes(of: &address.sun_path) { $0[1...].copyBytes(from: name.utf8) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(length))
      }
    }
    guard connected == 0 else { throw RPCError(code: .internal, message: "connect: \(errno)") }
  }

  deinit { close(descriptor) }

  /// Writes what the other end is to take.
  ///
  /// - Returns: how many bytes it took: fewer if it closed the connection.
  @discardableResult
  func write(_ bytes: [UInt8], times: Int = 1) -> Int {
    write(bytes, times, waiting: Self.patience)
  }

  /// Writes until the other end stops reading.
  ///
  /// - Returns: how many bytes it took.
  func flood(_ bytes: [UInt8], times: Int = 1) -> Int {
    write(bytes, times, waiting: Self.stall)
  }

  private func write(_ bytes: [UInt8], _ times: Int, waiting limit: Int32) -> Int {
    var taken = 0
    for _ in 0..<times {
      var position = 0
      while position < bytes.count {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        guard poll(&waiting, 1, limit) == 1 else { return taken }
        let count = bytes.withUnsafeBytes {
          send(
            descriptor, $0.baseAddress! + position, $0.count - position,
            Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        guard count > 0 else {
          if count < 0, errno == EAGAIN { continue }
          return taken
        }
        position += count
        taken += count
      }
    }
    return taken
  }

  /// Reads and forgets until nothing more comes.
  ///
  /// - Returns: how many bytes came.
  @discardableResult
  func drain() -> Int {
    var space = [UInt8](repeating: 0, count: 1 << 16)
    var total = 0
    while true {
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, Self.stall) == 1 else { return total }
      let count = recv(descriptor, &space, space.count, 0)
      guard count > 0 else { return total }
      total += count
    }
  }

  /// The next frame's type, id and data, or nil if none comes.
  func frame() -> (type: UInt8, id: UInt32, data: [UInt8])? {
    guard let header = read(FrameHeader.size) else { return nil }
    func number(_ offset: Int) -> UInt32 {
      header[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    guard let data = read(Int(number(0))) else { return nil }
    return (header[8], number(4), data)
  }

  private func read(_ count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var space = [UInt8](repeating: 0, count: max(count, 1))
    while bytes.count < count {
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&waiting, 1, Self.patience) == 1 else { return nil }
      let got = recv(descriptor, &space, count - bytes.count, 0)
      guard got > 0 else { return nil }
      bytes += space[..<got]
    }
    return bytes
  }

  /// Runs what blocks where it holds up nobody.
  static func away<Value: Sendable>(
    _ body: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    try await NIOThreadPool.singleton.runIfActive(body)
  }
}

/// What the process has of memory.
enum ResidentMemory {
  static func bytes() -> Int {
    guard let file = fopen("/proc/self/statm", "re") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
    let fields = line.split(separator: CChar(UInt8(ascii: " ")))
    let pages = fields[1].reduce(0) { $0 * 10 + Int($1) - 48 }
    return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
  }
}
