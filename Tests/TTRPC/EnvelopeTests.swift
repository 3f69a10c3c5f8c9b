import NIOCore
import RPCCore
import Testing

@testable import TTRPC

@Suite("The Request and Response envelopes, by protobuf's rules")
struct EnvelopeTests {
  @Test("a request's fields may come in any order")
  func anyOrder() throws {
    let parts = [
      field(1, Array("s".utf8)), field(2, Array("m".utf8)), field(3, [1, 2]), hex("2005"),
      field(5, field(1, Array("k".utf8)) + field(2, Array("v".utf8))),
    ]
    var random = SeededGenerator(seed: 7)
    for _ in 0..<50 {
      let request = try RequestEnvelope(
        decoding: buffer(parts.shuffled(using: &random).flatMap { $0 }))
      #expect(request.serviceName == "s")
      #expect(request.methodName == "m")
      #expect(bytes(request.payload) == [1, 2])
      #expect(request.timeoutNanoseconds == 5)
      #expect(request.metadata == ["k": "v"])
    }
  }

  @Test("of a field that comes twice the last one counts")
  func lastWins() throws {
    let request = try RequestEnvelope(
      decoding: buffer(
        field(1, Array("a".utf8)) + field(3, [1]) + hex("2005") + field(1, Array("b".utf8))
          + field(3, [2, 3]) + hex("2006")))
    #expect(request.serviceName == "b")
    #expect(bytes(request.payload) == [2, 3])
    #expect(request.timeoutNanoseconds == 6)
  }

  @Test("unknown fields of every wire type are passed over")
  func unknownFields() throws {
    // 100: varint, fixed64, bytes, a group with a group in it, fixed32; 3 as a varint is unknown.
    let unknown =
      hex("a006 ff7f") + hex("a106 0102030405060708") + hex("a206 03 aabbcc")
      + hex("a306 0801 ab06 0802 ac06 a406") + hex("a506 01020304") + hex("1805")
    let envelope = unknown + request("s", "m", [9]) + unknown
    let read = try RequestEnvelope(decoding: buffer(envelope))
    #expect(read.serviceName == "s")
    #expect(bytes(read.payload) == [9])
    let response = try ResponseEnvelope(
      decoding: buffer(
        hex("a006 ff7f") + field(1, hex("a206 03 aabbcc 0805")) + field(2, [4])
          + hex("a306 a406")))
    #expect(response.code == .notFound)
    #expect(bytes(response.payload) == [4])
  }

  @Test("a status that comes in pieces is merged")
  func mergedStatus() throws {
    let response = try ResponseEnvelope(
      decoding: buffer(
        field(1, hex("0805") + field(2, Array("one".utf8)) + field(3, field(1, Array("a".utf8))))
          + field(1, field(3, field(1, Array("b".utf8)) + field(2, [7])))
          + field(1, hex("0806"))))
    #expect(response.code == .alreadyExists)
    #expect(response.message == "one")
    #expect(
      response.details == [
        RPCStatusDetail(typeURL: "a", value: []), RPCStatusDetail(typeURL: "b", value: [7]),
      ])
  }

  @Test("a failure with details comes back as it was, negative codes too")
  func failureRoundTrip() throws {
    let error = RPCError(
      code: RPCCode(rawValue: -3), message: "naïve",
      details: [
        RPCStatusDetail(typeURL: "type.googleapis.com/x.Y", value: [0, 1, 2]),
        RPCStatusDetail(typeURL: "", value: []),
      ])
    var out = ByteBuffer()
    ResponseHead.writeFailure(error, to: &out)
    #expect(out.readableBytes == ResponseHead.failureSize(error))
    let read = try ResponseEnvelope(decoding: out)
    #expect(read.code == error.code)
    #expect(read.message == error.message)
    #expect(read.details == error.details)
  }

  @Test(
    "damaged bytes are refused",
    arguments: [
      hex("ffffff"),  // a key without end
      hex("0a05 6162"),  // content beyond the end
      hex("0a ffffffffffffffff7f"),  // a length beyond any memory
      hex("20 ffffffffffffffffff02"),  // more than 64 bits
      hex("0007"),  // field number 0
      hex("0e"), hex("0f"),  // wire types 6 and 7
      hex("a406"),  // the end of a group that was not begun
      hex("a306 ac06"),  // the end of another group
      hex("a306"),  // a group without end
      hex("2a02 0aff"),  // metadata that is damaged within
      hex("2a03 0a01 ff"),  // a key that is not UTF-8
      [UInt8](repeating: 0x0b, count: 4_000),  // groups within groups
    ])
  func damaged(_ envelope: [UInt8]) {
    #expect(throws: WireError.self) { try RequestEnvelope(decoding: buffer(envelope)) }
  }

  @Test("metadata keys are folded to lower case on the way in")
  func metadataCase() throws {
    let read = try RequestEnvelope(
      decoding: buffer(field(5, field(1, Array("Foo".utf8)) + field(2, Array("Bar".utf8)))))
    #expect(read.metadata["foo"] == "Bar")
  }

  @Test("lengths at the edges of a varint's size are counted right")
  func sizes() throws {
    for count in [0, 1, 127, 128, 129, 16_383, 16_384, 16_385, 2_097_151, 2_097_152] {
      let head = RequestHead(
        method: FrameVectorTests.connect, timeoutNanoseconds: 128, metadata: ["": "", "k": ""])
      var writer = FrameWriter()
      var out: [UInt8] = []
      let payload = ByteBuffer(repeating: 5, count: count)
      writer.request(head, streamID: 1, payload: payload) { out += bytes($0) }
      writer.emit { out += bytes($0) }
      #expect(out.count == FrameHeader.size + head.envelopeSize(payload: count))
      let read = try RequestEnvelope(decoding: buffer(Array(out.dropFirst(FrameHeader.size))))
      #expect(read.payload == payload)
    }
    for shift in 0..<64 {
      let value = UInt64(1) << UInt64(shift)
      for number in [value - 1, value, value + 1] {
        var out = ByteBuffer()
        out.writeVarint(number)
        #expect(out.readableBytes == ByteBuffer.varintSize(number))
      }
    }
  }
}
