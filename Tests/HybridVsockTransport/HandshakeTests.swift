import Glibc
import Testing

@testable import HybridVsockTransport

@Suite struct HandshakeTests {
  typealias Progress = HybridVsockHandshake.Progress

  /// Gives it a reply, byte by byte, until it is through.
  private func progress(_ reply: String) -> (Progress, taken: Int) {
    var handshake = HybridVsockHandshake(port: 1024)
    _ = handshake.start()
    for (index, byte) in reply.utf8.enumerated() {
      let progress = handshake.receive(byte)
      if progress != .more { return (progress, index + 1) }
    }
    return (.more, reply.utf8.count)
  }

  @Test("It says one line, once", arguments: [0, 1, 1024, UInt32.max])
  func line(port: UInt32) {
    var handshake = HybridVsockHandshake(port: port)
    #expect(handshake.start() == "CONNECT \(port)\n")
    #expect(handshake.start() == nil)
  }

  @Test(
    "It takes the line that VMMs answer, and not a byte behind it",
    arguments: [
      ("OK 0\n", 0), ("OK 1024\n", 1024), ("OK 1073741824\n", 1 << 30), ("OK 7\r\n", 7),
      ("OK 4294967295\n", UInt32.max), ("OK 4294967295\r\n", UInt32.max), ("OK 0000000007\n", 7),
    ])
  func accepted(reply: String, port: UInt32) {
    let (progress, taken) = progress(reply + "OK 5\n")
    #expect(progress == .established(assignedPort: port))
    #expect(taken == reply.utf8.count)
  }

  @Test(
    "Anything else is malformed from the first byte on that does not fit",
    arguments: [
      ("\n", 1), ("ok 5\n", 1), ("xOK 5\n", 1), (" OK 5\n", 1), ("Ok 5\n", 2), ("OK\n", 3),
      ("OKAY 5\n", 3), ("OK\t5\n", 3), ("OK \n", 4), ("OK  5\n", 4), ("OK -1\n", 4),
      ("OK \r\n", 4), ("OK +5\n", 4), ("OK 5x\n", 5), ("OK 5 \n", 5), ("OK 5\0\n", 5),
      ("OK 5\r\r\n", 6), ("OK 5\r5\n", 6), ("OK 4294967296\n", 14), ("OK 4294967296\r\n", 14),
      ("OK 12345678901\n", 14), ("HTTP/1.1 400 Bad Request\r\n", 1), ("ERR 5\n", 1), ("\0", 1),
    ])
  func malformed(reply: String, taken: Int) {
    let result = progress(reply)
    #expect(result.0 == .failed(.malformed))
    #expect(result.taken == taken)
  }

  // MARK: Every state, every event

  enum Event: String, CaseIterable {
    case start, letterO = "O", letterK = "K", space, digit, cr, lf, other, end, reset
  }

  static let states: [(name: String, bytes: String?)] = [
    ("idle", nil), ("waiting", ""), ("O", "O"), ("OK", "OK"), ("OK_", "OK "), ("digits", "OK 12"),
    ("most digits", "OK 4294967295"), ("too much", "OK 9999999999"), ("CR", "OK 12\r"),
    ("done", "OK 12\n"), ("failed", "x"),
  ]

  /// What happens, in the order of ``Event``: `>` goes on, `!` malformed, `e` ended, `=` established,
  /// `L` the line, `-` nothing.
  static let table: [String: String] = [
    "idle": "L!!!!!!!ee",
    "waiting": "->!!!!!!ee",
    "O": "-!>!!!!!ee",
    "OK": "-!!>!!!!ee",
    "OK_": "-!!!>!!!ee",
    "digits": "-!!!>>=!ee",
    "most digits": "-!!!!>=!ee",
    "too much": "-!!!!!!!ee",
    "CR": "-!!!!!=!ee",
    "done": "-!!!!!!!--",
    "failed": "-!!!!!!!--",
  ]

  @Test("Every event has its answer in every state")
  func everyEvent() {
    #expect(Self.table.count == Self.states.count)
    for (name, bytes) in Self.states {
      let row = Self.table[name].map(Array.init) ?? []
      for (event, expected) in zip(Event.allCases, row) {
        var handshake = HybridVsockHandshake(port: 3)
        if let bytes {
          _ = handshake.start()
          for byte in bytes.utf8 { _ = handshake.receive(byte) }
        }
        #expect(answer(&handshake, event) == expected, "\(name), \(event)")
        let isOver = "!e=".contains(expected) || ["done", "failed"].contains(name)
        #expect(handshake.isFinished == isOver, "\(name), \(event)")
      }
      #expect(row.count == Event.allCases.count)
    }
  }

  private func answer(_ handshake: inout HybridVsockHandshake, _ event: Event) -> Character {
    let progress: Progress?
    switch event {
    case .start: return handshake.start() == nil ? "-" : "L"
    case .letterO: progress = handshake.receive(UInt8(ascii: "O"))
    case .letterK: progress = handshake.receive(UInt8(ascii: "K"))
    case .space: progress = handshake.receive(UInt8(ascii: " "))
    case .digit: progress = handshake.receive(UInt8(ascii: "5"))
    case .cr: progress = handshake.receive(UInt8(ascii: "\r"))
    case .lf: progress = handshake.receive(UInt8(ascii: "\n"))
    case .other: progress = handshake.receive(0xff)
    case .end: progress = handshake.end()
    case .reset: progress = handshake.end(errno: ECONNRESET)
    }
    switch progress {
    case .more: return ">"
    case .established: return "="
    case .failed(.malformed): return "!"
    case .failed(.ended(let errno)): return errno == (event == .reset ? ECONNRESET : 0) ? "e" : "?"
    case nil: return "-"
    }
  }
}
