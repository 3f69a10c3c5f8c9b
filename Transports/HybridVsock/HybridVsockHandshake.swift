/// What a dialer of hybrid vsock says and understands before the connection carries bytes.
///
/// It writes `CONNECT <port>\n` and waits; the VMM answers `OK <number>\n`, or closes. (Firecracker's
/// `docs/vsock.md`; the others took it over.) Accepted is exactly `OK`, one space, one to ten decimal
/// digits that make no more than 4294967295, and a line feed, with or without a carriage return
/// before it: at most 15 bytes. The first byte that does not fit ends the handshake, so that a server
/// that speaks another protocol is not waited for, and nothing is kept that could grow.
///
/// The number is not compared with the port that was asked for: only vhost-device-vsock repeats that,
/// the others tell the port on their own side.
struct HybridVsockHandshake {
  enum Fault: Hashable {
    /// The bytes are no such line.
    case malformed
    /// The connection ended; `errno` is 0 when it was closed in order.
    case ended(errno: Int32)
  }

  enum Progress: Hashable {
    /// The line goes on.
    case more
    case established(assignedPort: UInt32)
    case failed(Fault)
  }

  private enum State: Hashable {
    case idle
    /// This many bytes of `OK ` have come.
    case word(Int)
    case number(digits: Int, value: UInt64)
    case carriageReturn(value: UInt32)
    case finished
  }

  private static let word = Array("OK ".utf8)
  private static let mostDigits = 10

  private let port: UInt32
  private var state = State.idle

  init(port: UInt32) { self.port = port }

  var isFinished: Bool { state == .finished }

  /// The one line to write, or nil if it was asked for before.
  mutating func start() -> String? {
    guard state == .idle else { return nil }
    state = .word(0)
    return "CONNECT \(port)\n"
  }

  /// Takes the next byte that came. None must be given after the line has ended.
  mutating func receive(_ byte: UInt8) -> Progress {
    switch (state, byte) {
    case (.word(let count), let byte) where byte == Self.word[count]:
      let isWhole = count + 1 == Self.word.count
      state = isWhole ? .number(digits: 0, value: 0) : .word(count + 1)
      return .more
    case (.number(let digits, let value), UInt8(ascii: "0")...UInt8(ascii: "9"))
    where digits < Self.mostDigits:
      state = .number(digits: digits + 1, value: value * 10 + UInt64(byte - UInt8(ascii: "0")))
      return .more
    case (.number(1..., let value), UInt8(ascii: "\r")):
      guard let value = UInt32(exactly: value) else { return fail(.malformed) }
      state = .carriageReturn(value: value)
      return .more
    case (.number(1..., let value), UInt8(ascii: "\n")):
      guard let value = UInt32(exactly: value) else { return fail(.malformed) }
      return establish(value)
    case (.carriageReturn(let value), UInt8(ascii: "\n")): return establish(value)
    default: return fail(.malformed)
    }
  }

  /// The connection ended or failed. Nil when the handshake was over before.
  mutating func end(errno: Int32 = 0) -> Progress? {
    guard !isFinished else { return nil }
    return fail(.ended(errno: errno))
  }

  private mutating func establish(_ value: UInt32) -> Progress {
    state = .finished
    return .established(assignedPort: value)
  }

  private mutating func fail(_ fault: Fault) -> Progress {
    state = .finished
    return .failed(fault)
  }
}
