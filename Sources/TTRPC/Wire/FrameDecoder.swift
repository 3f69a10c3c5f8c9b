import NIOCore

/// Cuts what a connection delivers into frames. No I/O, and no byte is looked at twice.
///
/// A frame that lies whole within one read is a slice of that read. One that does not gets a buffer
/// of its own size, filled as the reads come. A frame above the limit is never buffered: its bytes
/// are dropped as they come and it is reported when they are through.
struct FrameDecoder {
  enum Event: Equatable {
    case frame(FrameHeader, ByteBuffer)
    /// The frame was larger than the limit and has been drained.
    case oversize(FrameHeader)
  }

  private enum Phase { case header, body, discard }

  private var input = ByteBuffer()
  private var phase = Phase.header
  /// The first bytes of a header that a read cut in two.
  private var partialHeader = ByteBuffer()
  /// Of the frame whose data is being collected or dropped.
  private var current = FrameHeader(length: 0, streamID: 0, type: .request, flags: 0)
  private var remaining = 0
  private var body = ByteBuffer()

  /// Whether nothing of a next frame has come yet.
  var isAtFrameBoundary: Bool {
    phase == .header && partialHeader.readableBytes == 0 && input.readableBytes == 0
  }

  /// Whether what has come of a frame is the beginning of HTTP/2's: a SETTINGS frame (RFC 9113, 3.4)
  /// reads as a header of stream 0 without a type, whose length ends in that frame's type, 4.
  var looksLikeHTTP2: Bool {
    phase != .header && current.streamID == 0 && current.type.rawValue == 0
      && current.length & 0xff == 4
  }

  /// Takes what the connection delivered. Call ``next()`` until it returns nil afterwards.
  mutating func append(_ bytes: ByteBuffer) {
    if input.readableBytes == 0 {
      input = bytes
    } else {
      var bytes = bytes
      input.writeBuffer(&bytes)
    }
  }

  mutating func next() -> Event? {
    while true {
      switch phase {
      case .header:
        guard let header = readHeader() else {
          releaseInput()
          return nil
        }
        let length = Int(header.length)
        if length > FrameHeader.maximumLength {
          begin(header, .discard)
        } else if let data = input.readSlice(length: length) {
          return .frame(header, data)
        } else {
          begin(header, .body)
          // Reserved once; pages that a lying header never fills are never touched.
          body = ByteBufferAllocator().buffer(capacity: length)
        }
      case .body:
        if var part = input.readSlice(length: min(remaining, input.readableBytes)) {
          remaining -= part.readableBytes
          body.writeBuffer(&part)
        }
        guard remaining == 0 else {
          releaseInput()
          return nil
        }
        phase = .header
        let data = body
        body = ByteBuffer()
        return .frame(current, data)
      case .discard:
        let dropped = min(remaining, input.readableBytes)
        input.moveReaderIndex(forwardBy: dropped)
        remaining -= dropped
        guard remaining == 0 else {
          releaseInput()
          return nil
        }
        phase = .header
        return .oversize(current)
      }
    }
  }

  private mutating func begin(_ header: FrameHeader, _ next: Phase) {
    current = header
    remaining = Int(header.length)
    phase = next
  }

  private mutating func readHeader() -> FrameHeader? {
    if partialHeader.readableBytes == 0, input.readableBytes >= FrameHeader.size {
      return Self.parseHeader(from: &input)
    }
    let missing = FrameHeader.size - partialHeader.readableBytes
    guard var part = input.readSlice(length: min(missing, input.readableBytes)) else { return nil }
    partialHeader.writeBuffer(&part)
    guard partialHeader.readableBytes == FrameHeader.size else { return nil }
    let header = Self.parseHeader(from: &partialHeader)
    partialHeader.clear()
    return header
  }

  private static func parseHeader(from buffer: inout ByteBuffer) -> FrameHeader? {
    guard
      let (length, streamID, type, flags) = buffer.readMultipleIntegers(
        as: (UInt32, UInt32, UInt8, UInt8).self)
    else { return nil }
    return FrameHeader(
      length: length, streamID: streamID, type: FrameType(rawValue: type), flags: flags)
  }

  /// Lets go of a read that has been used up, so that the channel may read into it again.
  private mutating func releaseInput() {
    if input.readableBytes == 0 { input = ByteBuffer() }
  }
}
