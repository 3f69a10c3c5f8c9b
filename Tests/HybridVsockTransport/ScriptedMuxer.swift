import CLinux
import Glibc
import LinuxSystem
import Synchronization

/// The VMM's side of a hybrid vsock socket, played by a script: one thread a connection, blocking
/// calls, full control over what is read and written in one piece.
final class ScriptedMuxer: Sendable {
  /// One connection, on its thread.
  struct Client: Sendable {
    let descriptor: CInt
    /// How many came before it.
    let index: Int

    /// What one read brings: nil at the end, or when the peer closed without reading all.
    func read(upTo count: Int = 4096, waits: Bool = true) -> String? {
      var bytes = [UInt8](repeating: 0, count: count)
      let flags = waits ? 0 : Int32(MSG_DONTWAIT)
      let got = retryingInterrupts { recv(descriptor, &bytes, count, flags) }
      return got > 0 ? String(decoding: bytes.prefix(got), as: UTF8.self) : nil
    }

    /// Byte by byte up to a line feed, and nothing of what comes behind it.
    func readLine() -> String {
      var line = ""
      while let byte = read(upTo: 1), byte != "\n" { line += byte }
      return line
    }

    func readToEnd() -> String {
      var all = ""
      while let part = read() { all += part }
      return all
    }

    /// Until there is something to read, which is left where it is.
    func waitForBytes() {
      var byte: UInt8 = 0
      _ = retryingInterrupts { recv(descriptor, &byte, 1, Int32(MSG_PEEK)) }
    }

    /// Whether the peer has closed its end. Nothing is read.
    var isOver: Bool {
      var byte: UInt8 = 0
      return retryingInterrupts {
        recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
      } == 0
    }

    func write(_ text: String) { write(Array(text.utf8)[...]) }

    func write(_ bytes: ArraySlice<UInt8>) {
      var bytes = bytes
      while !bytes.isEmpty {
        let sent = bytes.withUnsafeBytes { bytes in
          retryingInterrupts {
            send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
          }
        }
        guard sent > 0 else { return }
        bytes = bytes.dropFirst(sent)
      }
    }

    func shutdownWrite() { shutdown(descriptor, Int32(SHUT_WR)) }
  }

  private struct State {
    var accepted = 0
    var ended = 0
    var isAccepting = true
  }

  let path: String
  private let descriptor: CInt
  private let state = Mutex(State())

  /// Listens, and plays `script` for each connection, which is closed when it returns.
  init(at path: String, _ script: @escaping @Sendable (Client) -> Void) throws {
    self.path = path
    unlink(path)
    descriptor = clinux_unix_socket()
    guard descriptor >= 0, clinux_unix_bind(descriptor, path, path.utf8.count, false) == 0,
      clinux_listen(descriptor, 4096) == 0
    else { throw Failure(what: "no muxer at \(path)") }
    // Blocking: its thread has nothing else to do.
    _ = fcntl(descriptor, F_SETFL, 0)
    try startThread("muxer") { [descriptor, threads = Threads(self)] in
      while true {
        let client = retryingInterrupts { accept(descriptor, nil, nil) }
        guard client >= 0 else { break }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        var limit = timeval(tv_sec: 60, tv_usec: 0)
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let index = threads.begin()
        do {
          try startThread("muxer-client") {
            script(Client(descriptor: client, index: index))
            close(client)
            threads.end()
          }
        } catch {
          close(client)
          threads.end()
        }
      }
      threads.stopped()
    }
  }

  /// How many connections were taken.
  var accepted: Int { state.withLock { $0.accepted } }
  /// How many of them are over.
  var ended: Int { state.withLock { $0.ended } }

  /// Listens no more, and waits for the scripts. The file stays, as a dead VMM's does.
  func stop() async throws {
    shutdown(descriptor, Int32(SHUT_RDWR))
    try await eventually("the muxer's threads end") {
      state.withLock { !$0.isAccepting && $0.accepted == $0.ended }
    }
  }

  deinit { close(descriptor) }

  /// What the threads need of the muxer, which outlives them: `stop()` waits.
  private struct Threads: Sendable {
    let muxer: ScriptedMuxer

    init(_ muxer: ScriptedMuxer) { self.muxer = muxer }

    func begin() -> Int {
      muxer.state.withLock { state in
        state.accepted += 1
        return state.accepted - 1
      }
    }

    func end() { muxer.state.withLock { $0.ended += 1 } }
    func stopped() { muxer.state.withLock { $0.isAccepting = false } }
  }
}

/// Runs a muxer while `body` runs.
func withMuxer<Result>(
  at path: String, _ script: @escaping @Sendable (ScriptedMuxer.Client) -> Void,
  _ body: (ScriptedMuxer) async throws -> Result
) async throws -> Result {
  let muxer = try ScriptedMuxer(at: path, script)
  let result: Result
  do {
    result = try await body(muxer)
  } catch {
    try await muxer.stop()
    throw error
  }
  try await muxer.stop()
  return result
}
