import NIOCore

@testable import TTRPC

/// The frame decoder gives the same frames however the bytes are cut, and those that a reading of
/// the whole at once gives.
enum FrameFuzzing {
  static func run(_ script: inout FuzzScript) throws {
    let seed = script.byte()
    let stream = Self.stream(&script)
    let (expected, isWhole) = read(stream)
    try check(stream, [stream.count], expected, isWhole)
    if stream.count <= 1 << 13 {
      try check(stream, Array(repeating: 1, count: stream.count), expected, isWhole)
    }
    var random = FuzzRandom(UInt64(seed))
    for largest in [7, 64, max(64, stream.count / 3)] where stream.count / largest < 1 << 12 {
      var pieces: [Int] = []
      var left = stream.count
      while left > 0 {
        pieces.append(min(left, Int.random(in: 1...largest, using: &random)))
        left -= pieces[pieces.count - 1]
      }
      try check(stream, pieces, expected, isWhole)
    }
  }

  /// Frames, damaged frames and bytes that are neither.
  private static func stream(_ script: inout FuzzScript) -> [UInt8] {
    var stream: [UInt8] = []
    while !script.isAtEnd {
      switch script.below(4) {
      case 0: stream += script.bytes(Int(script.byte()))
      case 1:
        let data = script.bytes(Int(script.byte()))
        stream += header(data.count, &script) + data
      case 2:
        let length = script.length()
        stream += header(length, &script) + Array(repeating: 0xab, count: length)
      default:
        // Large ones cost time: few streams have one.
        guard script.byte() == 0x77, stream.count < 1 << 20 else { continue }
        let length = FrameHeader.maximumLength - 1 + script.below(4)
        stream += header(length, &script)
        stream += Array(repeating: 0xcd, count: length - script.below(3))
      }
    }
    return stream
  }

  private static func header(_ length: Int, _ script: inout FuzzScript) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
      + [0, 0, 0, script.byte(), script.byte(), script.byte()]
  }

  /// The frames of a stream, read with indices alone, and whether it ends behind one.
  static func read(_ stream: [UInt8]) -> ([FrameDecoder.Event], Bool) {
    var events: [FrameDecoder.Event] = []
    var position = 0
    func number(_ offset: Int) -> UInt32 {
      stream[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
    }
    while stream.count - position >= 10 {
      let header = FrameHeader(
        length: number(position), streamID: number(position + 4),
        type: FrameType(rawValue: stream[position + 8]), flags: stream[position + 9])
      let end = position + 10 + Int(header.length)
      guard end <= stream.count else { break }
      events.append(
        header.length > 4_194_304
          ? .oversize(header)
          : .frame(header, ByteBuffer(bytes: stream[(position + 10)..<end])))
      position = end
    }
    return (events, position == stream.count)
  }

  private static func check(
    _ stream: [UInt8], _ pieces: [Int], _ expected: [FrameDecoder.Event], _ isWhole: Bool
  ) throws {
    var decoder = FrameDecoder()
    var events = 0
    var position = 0
    for count in pieces {
      decoder.append(ByteBuffer(bytes: stream[position..<(position + count)]))
      position += count
      while let event = decoder.next() {
        try FuzzFailure.unless(
          events < expected.count && event == expected[events],
          "frame \(events) differs when the bytes come in \(pieces.count) pieces")
        events += 1
      }
    }
    try FuzzFailure.unless(
      events == expected.count, "\(events) of \(expected.count) frames came")
    try FuzzFailure.unless(
      decoder.isAtFrameBoundary == isWhole, "it is wrong about being at a frame's boundary")
  }
}
