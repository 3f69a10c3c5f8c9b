internal import NIOCore

/// Bytes without end that both sides know: a place in one block of noise that repeats itself.
///
/// The block's length is a prime, so that no page, segment or record that is lost, doubled or put
/// elsewhere goes unseen, and taking from it costs a copy, comparing with it a memcmp.
struct Pattern: Sendable {
  private static let length = 262_139
  private static let noise: ByteBuffer = {
    var buffer = ByteBuffer()
    var state: UInt64 = 0x6861_7773_6570_6970
    while buffer.readableBytes < length {
      state = mixed(state)
      buffer.writeInteger(state)
    }
    buffer.moveWriterIndex(to: length)
    return buffer
  }()

  private let start: Int

  init(_ seed: UInt64) {
    start = Int(Self.mixed(seed) % UInt64(Self.length))
  }

  /// The bytes from `offset` on.
  func bytes(_ count: Int, from offset: Int) -> ByteBuffer {
    var bytes = ByteBuffer()
    bytes.reserveCapacity(count)
    forEachPiece(count, from: offset) { piece, _ in
      bytes.writeImmutableBuffer(piece)
      return true
    }
    return bytes
  }

  /// The offset of the first byte that is not the one to come at `offset`.
  func mismatch(_ bytes: ByteBuffer, at offset: Int) -> Int? {
    var found: Int?
    forEachPiece(bytes.readableBytes, from: offset) { piece, done in
      guard let other = bytes.getSlice(at: bytes.readerIndex + done, length: piece.readableBytes),
        other != piece
      else { return true }
      let same = zip(other.readableBytesView, piece.readableBytesView).prefix { $0 == $1 }.count
      found = offset + done + same
      return false
    }
    return found
  }

  private func forEachPiece(
    _ count: Int, from offset: Int, _ body: (_ piece: ByteBuffer, _ done: Int) -> Bool
  ) {
    var done = 0
    while done < count {
      let place = (start + offset + done) % Self.length
      let length = min(count - done, Self.length - place)
      guard let piece = Self.noise.getSlice(at: place, length: length), body(piece, done) else {
        return
      }
      done += length
    }
  }

  /// SplitMix64, step and finish in one.
  private static func mixed(_ value: UInt64) -> UInt64 {
    var mixed = value &+ 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}
