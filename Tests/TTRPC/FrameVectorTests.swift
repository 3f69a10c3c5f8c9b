import NIOCore
import RPCCore
import Testing

@testable import TTRPC

/// Every frame of the vector table, read as the peer sent it and, where we may send it, written.
@Suite("ttrpc's frames, byte by byte")
struct FrameVectorTests {
  static let connect = RPCMethod(service: "containerd.task.v2.Task", name: "Connect")

  private func only(_ vector: [UInt8]) throws -> (FrameHeader, ByteBuffer) {
    var decoder = FrameDecoder()
    decoder.append(buffer(vector))
    let events = drain(&decoder)
    #expect(events.count == 1)
    #expect(decoder.isAtFrameBoundary)
    guard case .frame(let header, let data)? = events.first else {
      throw RPCError(code: .internal, message: "not a frame: \(events)")
    }
    return (header, data)
  }

  private func written(_ write: (inout FrameWriter, (ByteBuffer) -> Void) -> Void) -> [UInt8] {
    var writer = FrameWriter()
    var out: [UInt8] = []
    write(&writer) { out += bytes($0) }
    writer.emit { out += bytes($0) }
    return out
  }

  struct RequestCase: Sendable {
    var vector: [UInt8]
    var id: UInt32
    var service = "containerd.task.v2.Task"
    var method = "Connect"
    var payload = hex("0a0161")
    var timeout: Int64 = 0
    var metadata = RPCMetadata()
  }

  static let requests = [
    RequestCase(
      vector: Vector.requestWithTimeoutAndMetadata, id: 1, timeout: 1_000_000_000,
      metadata: ["containerd-namespace-ttrpc": "default"]),
    RequestCase(vector: Vector.request, id: 1),
    RequestCase(vector: Vector.requestWithTwoValues, id: 3, metadata: ["k": "a", "k": "b"]),
    RequestCase(vector: Vector.requestExpired, id: 5, timeout: -1),
    RequestCase(vector: Vector.highestID, id: .max),
    RequestCase(
      vector: Vector.rustSelfCheck, id: 0x123456, service: "grpc.TestServices", method: "Test",
      payload: hex("010203040506070809"), timeout: 20 * 1_000_000,
      metadata: ["test_key1": "test_value1"]),
  ]

  @Test("a request is read as it was meant", arguments: requests)
  func readsRequest(_ expected: RequestCase) throws {
    let (header, data) = try only(expected.vector)
    #expect(header.type == .request)
    #expect(header.streamID == expected.id)
    #expect(Int(header.length) == expected.vector.count - FrameHeader.size)
    let request = try RequestEnvelope(decoding: data)
    #expect(request.serviceName == expected.service)
    #expect(request.methodName == expected.method)
    #expect(bytes(request.payload) == expected.payload)
    #expect(request.timeoutNanoseconds == expected.timeout)
    #expect(request.metadata == expected.metadata)
  }

  @Test("a request is written with the same fields in as many bytes", arguments: requests)
  func writesRequest(_ expected: RequestCase) throws {
    let head = RequestHead(
      method: RPCMethod(service: expected.service, name: expected.method),
      timeoutNanoseconds: expected.timeout, metadata: expected.metadata)
    let out = written { writer, write in
      writer.request(
        head, streamID: expected.id, payload: buffer(expected.payload), write: write)
    }
    #expect(out.count == expected.vector.count)
    // Flags, which ours leaves 0, aside.
    #expect(out.prefix(9) == expected.vector.prefix(9))
    let (header, data) = try only(out)
    #expect(header.flags == 0)
    let request = try RequestEnvelope(decoding: data)
    #expect(request.serviceName == expected.service)
    #expect(bytes(request.payload) == expected.payload)
    #expect(request.timeoutNanoseconds == expected.timeout)
    #expect(request.metadata == expected.metadata)
    // Ours has the payload last; where nothing else stands behind it, the bytes are the same.
    if expected.timeout == 0, expected.metadata.isEmpty { #expect(out == expected.vector) }
  }

  struct ResponseCase: Sendable {
    var vector: [UInt8]
    var id: UInt32 = 1
    var code = RPCCode.ok
    var message = ""
    var payload: [UInt8] = []
  }

  static let successes = [
    ResponseCase(vector: Vector.okGo, payload: hex("0a0161")),
    ResponseCase(vector: Vector.okEmptyGo),
  ]
  static let rustSuccesses = [
    ResponseCase(vector: Vector.okRust, payload: hex("0a0161")),
    ResponseCase(vector: Vector.okEmptyRust),
  ]
  static let failures = [
    ResponseCase(vector: Vector.notFound, code: .notFound, message: "nope"),
    ResponseCase(
      vector: Vector.unknownServiceGo, code: .unimplemented,
      message: "service containerd.task.v2.Task"),
    ResponseCase(vector: Vector.unknownMethodGo, code: .unimplemented, message: "method Connect"),
    ResponseCase(
      vector: Vector.unknownServiceRust, code: .invalidArgument,
      message: "containerd.task.v2.Task service does not exist"),
    ResponseCase(
      vector: Vector.deadlineExceeded, code: .deadlineExceeded,
      message: "context deadline exceeded"),
    ResponseCase(
      vector: Vector.evenID, id: 2, code: .invalidArgument,
      message: "StreamID must be odd for client initiated streams"),
    ResponseCase(
      vector: Vector.reusedID, id: 5, code: .invalidArgument,
      message: "StreamID cannot be re-used and must increment"),
    ResponseCase(
      vector: Vector.dataOnUnknownStream, code: .invalidArgument,
      message: "StreamID is no longer active"),
    ResponseCase(
      vector: Vector.oversizeRefused, code: .resourceExhausted,
      message: "message length 4194305 exceed maximum message size of 4194304"),
  ]

  @Test("a response is read as it was meant", arguments: successes + rustSuccesses + failures)
  func readsResponse(_ expected: ResponseCase) throws {
    let (header, data) = try only(expected.vector)
    #expect(header.type == .response)
    #expect(header.streamID == expected.id)
    let response = try ResponseEnvelope(decoding: data)
    #expect(response.code == expected.code)
    #expect(response.message == expected.message)
    #expect(bytes(response.payload) == expected.payload)
    #expect(response.details.isEmpty)
  }

  @Test("success is written as Go writes it", arguments: successes)
  func writesSuccess(_ expected: ResponseCase) {
    let out = written { writer, write in
      writer.success(streamID: expected.id, payload: buffer(expected.payload), write: write)
    }
    #expect(out == expected.vector)
  }

  @Test("a failure is written as Go writes it", arguments: failures)
  func writesFailure(_ expected: ResponseCase) {
    let out = written { writer, _ in
      writer.failure(
        streamID: expected.id, RPCError(code: expected.code, message: expected.message))
    }
    #expect(out == expected.vector)
  }

  @Test("4 MiB exactly is a frame")
  func largestFrame() throws {
    let (header, data) = try only(
      Vector.largestLegalHeader + [UInt8](repeating: 7, count: 4 << 20))
    #expect(header.length == 4_194_304)
    #expect(data.readableBytes == 4 << 20)
  }

  @Test(
    "a frame above the limit is drained, and the next one is read",
    arguments: [(Vector.oversizeHeader, 4_194_305), (Vector.reservedByteHeader, 1 << 24)])
  func oversize(_ header: [UInt8], _ length: Int) {
    var decoder = FrameDecoder()
    decoder.append(buffer(header))
    #expect(drain(&decoder).isEmpty)
    var left = length
    while left > 0 {
      let part = min(left, 65_536)
      left -= part
      decoder.append(buffer([UInt8](repeating: 1, count: part) + (left == 0 ? Vector.okGo : [])))
      let events = drain(&decoder)
      guard left == 0 else {
        #expect(events.isEmpty)
        continue
      }
      #expect(events.count == 2)
      guard case .oversize(let drained)? = events.first else {
        Issue.record("no oversize event")
        return
      }
      #expect(Int(drained.length) == length)
      #expect(drained.streamID == 1)
    }
    #expect(decoder.isAtFrameBoundary)
  }

  @Test("a frame of an unknown type keeps its type and its bytes")
  func unknownType() throws {
    let (header, data) = try only(Vector.unknownType)
    #expect(header.type.rawValue == 0x7f)
    #expect(bytes(data) == hex("616263"))
  }
}
