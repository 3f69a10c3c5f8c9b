import NIOCore

@testable import TTRPC

/// Bytes written as hexadecimal digits; spaces and line ends are for the reader.
func hex(_ text: String) -> [UInt8] {
  let digits = text.compactMap(\.hexDigitValue)
  return stride(from: 0, to: digits.count - 1, by: 2).map {
    UInt8(digits[$0] << 4 | digits[$0 + 1])
  }
}

func buffer(_ bytes: [UInt8]) -> ByteBuffer { ByteBuffer(bytes: bytes) }

func bytes(_ buffer: ByteBuffer) -> [UInt8] { Array(buffer.readableBytesView) }

/// A frame's bytes.
func frame(_ type: UInt8, _ id: UInt32, _ data: [UInt8] = [], flags: UInt8 = 0) -> [UInt8] {
  var buffer = ByteBuffer()
  buffer.writeMultipleIntegers(UInt32(data.count), id, type, flags)
  return bytes(buffer) + data
}

/// A length-delimited field.
func field(_ number: UInt8, _ content: [UInt8]) -> [UInt8] {
  var buffer = ByteBuffer()
  buffer.writeContentHead(tag: number << 3 | 2, count: content.count)
  return bytes(buffer) + content
}

/// A Request envelope as Go and Rust write it.
func request(_ service: String, _ method: String, _ payload: [UInt8] = []) -> [UInt8] {
  field(1, Array(service.utf8)) + field(2, Array(method.utf8))
    + (payload.isEmpty ? [] : field(3, payload))
}

/// Takes from a decoder all that it has.
func drain(_ decoder: inout FrameDecoder) -> [FrameDecoder.Event] {
  var events: [FrameDecoder.Event] = []
  while let event = decoder.next() { events.append(event) }
  return events
}

/// A random number generator that repeats itself: a failing test fails again.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  /// SplitMix64.
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }
}
