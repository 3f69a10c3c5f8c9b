internal import NIOCore

/// What a check asks the server to do: an operation and two numbers, 17 bytes.
struct Request: Equatable {
  enum Operation: UInt8 {
    /// Read `size` bytes, say whether they were right, and answer with as many.
    case exchange = 1
    /// The same, but reading and writing at the same time.
    case both
    /// Read until the end of the dialer's output, say how much it was, and answer with `size` bytes.
    case readToEnd
    /// Write `size` bytes, end the output, and read until the end. See ``report``.
    case endFirst
    /// Write `size` bytes and close.
    case close
    /// Read `size` bytes and close, though more may be on the way.
    case abandon
    /// Read `size` bytes slowly, and tell after each piece how much it was until then.
    case readSlowly
    /// Write `size` bytes, as fast as the channel takes them, to a dialer who tells how much it has
    /// read; then say how much was on its way at most.
    case flood
    /// Say whether the dialer is who it should be.
    case identify
    /// Say how an operation of that seed ended, which had no way to.
    case report
  }

  static let length = 17

  var operation: Operation
  /// Names the bytes of both directions, and the operation.
  var seed: UInt64
  var size: Int

  init(_ operation: Operation, seed: UInt64 = .random(in: 0...UInt64.max), size: Int = 0) {
    self.operation = operation
    self.seed = seed
    self.size = size
  }

  /// What the dialer sends.
  var dialersBytes: Pattern { Pattern(seed) }
  /// What the listener sends.
  var listenersBytes: Pattern { Pattern(~seed) }

  var encoded: ByteBuffer {
    var bytes = ByteBuffer()
    bytes.writeMultipleIntegers(operation.rawValue, seed, UInt64(size))
    return bytes
  }

  init(decoding bytes: ByteBuffer) throws {
    var bytes = bytes
    guard let (code, seed, size) = bytes.readMultipleIntegers(as: (UInt8, UInt64, UInt64).self),
      let operation = Operation(rawValue: code), size <= 1 << 32
    else { throw Broken("\(bytes) is no request: the first bytes are not those that were sent") }
    self.init(operation, seed: seed, size: Int(size))
  }
}

/// What the server answers: whether it was right, and a number or a reason.
struct Verdict: Sendable, Equatable {
  private static let mostText = 4096

  var number: Int
  /// `nil` when all was right.
  var complaint: String?

  init(_ number: Int = 0, complaint: String? = nil) {
    self.number = number
    self.complaint = complaint
  }

  var encoded: ByteBuffer {
    var bytes = ByteBuffer()
    let text = (complaint ?? "").utf8.prefix(Self.mostText)
    bytes.writeMultipleIntegers(UInt64(number), UInt16(text.count))
    bytes.writeBytes(text)
    return bytes
  }

  /// Reads one; throws the complaint of one that is not right.
  @discardableResult
  static func number(from wire: Wire) async throws -> Int {
    var head = try await wire.receive(exactly: 10)
    guard let (number, length) = head.readMultipleIntegers(as: (UInt64, UInt16).self),
      length <= mostText, number <= 1 << 40
    else { throw Broken("the server's verdict is not one: bytes were lost, or more came") }
    guard length > 0 else { return Int(number) }
    let text = try await wire.receive(exactly: Int(length))
    throw Broken("the listener's side says: \(String(buffer: text))")
  }
}
