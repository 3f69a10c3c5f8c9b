import Foundation
import Glibc
import Synchronization

/// Copies standard input to a socket and a socket to standard output, on two threads.
final class StandardStreamsPump: Sendable {
  /// What to do when the peer has ended its output, and standard input has not ended.
  enum PeersEnd: Sendable {
    case stop
    /// Go on sending until standard input brings nothing for so long.
    case linger(Duration)
    /// Close standard output, and go on until standard input ends.
    case closeOutput
  }

  private static let size = 256 << 10

  private let socket: Int32
  private let atPeersEnd: PeersEnd
  /// Its writing end is closed when the peer has ended its output: that wakes the input's thread.
  private let wake: (read: Int32, write: Int32)
  private let ended = AsyncStream<String?>.makeStream()

  /// - Parameter socket: a stream socket in blocking mode, which is the pump's from here on. It is
  ///   closed with the process: a thread may be waiting in it.
  init(socket: Int32, atPeersEnd: PeersEnd) {
    self.socket = socket
    self.atPeersEnd = atPeersEnd
    var ends: [Int32] = [-1, -1]
    // Without it, the input's thread is not woken, and ends with the process.
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    wake = socketpair(AF_UNIX, type, 0, &ends) == 0 ? (ends[0], ends[1]) : (-1, -1)
  }

  func start() {
    Thread.detachNewThread { self.copyInput() }
    Thread.detachNewThread { self.copyOutput() }
  }

  /// Waits until everything that the peer sent is written.
  ///
  /// - Returns: why it could not be written, or nil.
  func outputEnd() async -> String? {
    for await failure in ended.stream { return failure }
    return nil
  }

  // MARK: On the threads

  private func copyInput() {
    var buffer = [UInt8](repeating: 0, count: Self.size)
    while waitForInput() {
      let count = read(STDIN_FILENO, &buffer, buffer.count)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      // A terminal that is gone (EIO) is an end, too.
      guard count > 0, Self.writeAll(socket, buffer, count) else { break }
    }
    shutdown(socket, Int32(SHUT_WR))
  }

  /// - Returns: false when there is no more input, or nobody to have it.
  private func waitForInput() -> Bool {
    var isLingering = false
    while true {
      var waits = [
        pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        pollfd(fd: socket, events: 0, revents: 0),
        pollfd(fd: isLingering ? -1 : wake.read, events: Int16(POLLIN), revents: 0),
      ]
      let ready = poll(&waits, 3, isLingering ? lingerMilliseconds : -1)
      if ready < 0 && errno == EINTR { continue }
      if ready <= 0 || waits[1].revents != 0 { return false }
      if waits[0].revents != 0 { return true }
      switch atPeersEnd {
      case .stop: return false
      case .linger, .closeOutput: isLingering = true
      }
    }
  }

  private var lingerMilliseconds: Int32 {
    guard case .linger(let limit) = atPeersEnd else { return -1 }
    return Int32(limit.components.seconds) * 1000
      + Int32(limit.components.attoseconds / 1_000_000_000_000_000)
  }

  private func copyOutput() {
    var buffer = [UInt8](repeating: 0, count: Self.size)
    var failure: String?
    while true {
      let count = read(socket, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      // A failure of the connection is the bridge's to report.
      guard count > 0 else { break }
      guard Self.writeAll(STDOUT_FILENO, buffer, count) else {
        failure = "cannot write to standard output: \(String(cString: strerror(errno)))"
        shutdown(socket, Int32(SHUT_RDWR))
        break
      }
    }
    if case .closeOutput = atPeersEnd { Self.closeStandardOutput() }
    close(wake.write)
    ended.continuation.yield(failure)
    ended.continuation.finish()
  }

  /// Whoever reads it sees its end. The number stays taken, so that no other file gets it.
  private static func closeStandardOutput() {
    let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
    guard null >= 0 else { return }
    dup2(null, STDOUT_FILENO)
    close(null)
  }

  private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8], _ count: Int) -> Bool {
    var done = 0
    while done < count {
      let written = bytes.withUnsafeBytes {
        write(descriptor, $0.baseAddress.map { $0 + done }, count - done)
      }
      if written >= 0 {
        done += written
      } else if errno == EAGAIN {
        var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&wait, 1, -1)
      } else if errno != EINTR {
        return false
      }
    }
    return true
  }
}
