import NIOCore
import Testing

@testable import TTRPC

@Suite("The frame decoder, however the bytes come")
struct FrameDecoderTests {
  static let stream: [UInt8] =
    Vector.request + Vector.okEmptyGo + Vector.unknownType + Vector.requestWithTwoValues
    + frame(3, 7, (0..<300).map { UInt8(truncatingIfNeeded: $0) }) + Vector.okGo

  private func whole() -> [FrameDecoder.Event] {
    var decoder = FrameDecoder()
    decoder.append(buffer(Self.stream))
    return drain(&decoder)
  }

  @Test("many frames in one read come out in their order")
  func oneRead() {
    let events = whole()
    let ids = events.map { event -> UInt32 in
      guard case .frame(let header, _) = event else { return 0 }
      return header.streamID
    }
    #expect(ids == [1, 1, 1, 3, 7, 1])
  }

  @Test("one byte at a time gives the same frames")
  func byteByByte() {
    var decoder = FrameDecoder()
    var events: [FrameDecoder.Event] = []
    for byte in Self.stream {
      decoder.append(buffer([byte]))
      events += drain(&decoder)
    }
    #expect(events == whole())
    #expect(decoder.isAtFrameBoundary)
  }

  @Test("reads of random sizes give the same frames", arguments: 1...200 as ClosedRange<UInt64>)
  func randomReads(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var decoder = FrameDecoder()
    var events: [FrameDecoder.Event] = []
    var rest = Self.stream[...]
    while !rest.isEmpty {
      let part = rest.prefix(Int.random(in: 1...60, using: &random))
      rest = rest.dropFirst(part.count)
      decoder.append(buffer(Array(part)))
      // A consumer that pauses leaves what was read for later.
      if Bool.random(using: &random) { events += drain(&decoder) }
    }
    events += drain(&decoder)
    #expect(events == whole())
  }

  @Test("wherever the bytes end within a frame, the decoder knows")
  func frameBoundary() {
    for count in 1..<Vector.request.count {
      var decoder = FrameDecoder()
      decoder.append(buffer(Array(Vector.request.prefix(count))))
      #expect(drain(&decoder).isEmpty)
      #expect(!decoder.isAtFrameBoundary)
    }
  }

  @Test("a large frame in many reads is copied once, not once a read")
  func largeFrame() {
    var decoder = FrameDecoder()
    let size = 4 << 20
    decoder.append(buffer(Vector.largestLegalHeader))
    let part = buffer([UInt8](repeating: 3, count: 512))
    // With re-buffering this would move 16 GiB.
    for _ in 0..<(size / 512 - 1) {
      decoder.append(part)
      #expect(decoder.next() == nil)
    }
    decoder.append(part)
    guard case .frame(_, let data)? = decoder.next() else {
      Issue.record("no frame")
      return
    }
    #expect(data.readableBytes == size)
  }

  @Test("half a million random bytes and a million mutated ones never trap the decoders")
  func hostileBytes() async {
    var random = SeededGenerator(seed: 42)
    for round in 0..<2_000 {
      // Other tests want the threads, too.
      if round % 64 == 0 { await Task.yield() }
      var decoder = FrameDecoder()
      decoder.append(buffer(random.bytes(250)))
      for event in drain(&decoder) { decodeEnvelopes(event) }
    }
    for round in 0..<4_000 {
      if round % 64 == 0 { await Task.yield() }
      var mutated = Self.stream
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        mutated[Int.random(in: 0..<mutated.count, using: &random)] = UInt8(
          truncatingIfNeeded: random.next())
      }
      var decoder = FrameDecoder()
      decoder.append(buffer(mutated))
      for event in drain(&decoder) { decodeEnvelopes(event) }
    }
  }

  private func decodeEnvelopes(_ event: FrameDecoder.Event) {
    guard case .frame(_, let data) = event else { return }
    // Whether they can be read does not matter here, only that trying is safe.
    _ = try? RequestEnvelope(decoding: data)
    _ = try? ResponseEnvelope(decoding: data)
  }
}
