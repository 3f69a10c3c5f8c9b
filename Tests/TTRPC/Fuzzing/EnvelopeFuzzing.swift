import NIOCore
import RPCCore
import SwiftProtobuf

@testable import TTRPC

/// The envelope decoders agree with SwiftProtobuf's, and what they read survives being written.
enum EnvelopeFuzzing {
  static func run(_ script: inout FuzzScript) throws {
    let isRequest = script.byte() & 1 == 0
    let bytes = script.remainder()
    // It need not begin where its buffer does.
    var buffer = ByteBuffer(bytes: [0xff, 0xff] + bytes + [0xff])
    buffer.moveReaderIndex(forwardBy: 2)
    buffer.moveWriterIndex(to: buffer.writerIndex - 1)
    if isRequest { try request(buffer, bytes) } else { try response(buffer, bytes) }
  }

  /// What ours alone refuses: SwiftProtobuf cuts a number that is too long, as C++ does while Go
  /// does not, takes keys of any length within groups, and may be told to take any nesting.
  private static func check(_ error: WireError, refusedByThem: Bool) throws {
    switch error {
    case .varintOverflow, .keyLength, .nesting: return
    default: try FuzzFailure.unless(refusedByThem, "only ours refuses it: \(error)")
    }
  }

  private static func reference<Envelope: Message>(_ bytes: [UInt8]) -> Envelope? {
    var options = BinaryDecodingOptions()
    options.messageDepthLimit = 10_000
    // Any error is a refusal.
    return try? Envelope(serializedBytes: bytes, options: options)
  }

  // MARK: Requests

  private static func request(_ buffer: ByteBuffer, _ bytes: [UInt8]) throws {
    let theirs: ReferenceRequest? = reference(bytes)
    let ours: RequestEnvelope
    do throws(WireError) {
      ours = try RequestEnvelope(decoding: buffer)
    } catch {
      return try check(error, refusedByThem: theirs == nil)
    }
    guard let theirs else { throw FuzzFailure(description: "only SwiftProtobuf refuses it") }
    try compare(ours, theirs, service: ours.serviceName)

    let head = RequestHead(
      method: RPCMethod(service: ours.serviceName, name: ours.methodName),
      timeoutNanoseconds: ours.timeoutNanoseconds, metadata: ours.metadata)
    var out = ByteBuffer()
    var payload = ours.payload
    head.write(to: &out, payload: payload.readableBytes)
    out.writeBuffer(&payload)
    try FuzzFailure.unless(
      out.readableBytes == head.envelopeSize(payload: ours.payload.readableBytes),
      "a request's size was counted wrong")
    let again = try RequestEnvelope(decoding: out)
    guard let reference: ReferenceRequest = reference(Array(out.readableBytesView)) else {
      throw FuzzFailure(description: "SwiftProtobuf refuses what ours wrote")
    }
    try compare(again, reference, service: ours.serviceName)
    try FuzzFailure.unless(
      again.payload == ours.payload && again.metadata == ours.metadata
        && again.timeoutNanoseconds == ours.timeoutNanoseconds
        && again.methodName == ours.methodName, "a request changes when it is written")
  }

  private static func compare(
    _ ours: RequestEnvelope, _ theirs: ReferenceRequest, service: String
  ) throws {
    try FuzzFailure.unless(
      ours.serviceName == String(decoding: theirs.service, as: UTF8.self)
        && ours.serviceName == service
        && ours.methodName == String(decoding: theirs.method, as: UTF8.self),
      "the names differ")
    try FuzzFailure.unless(
      ours.payload.readableBytesView.elementsEqual(theirs.payload), "the payloads differ")
    try FuzzFailure.unless(
      ours.timeoutNanoseconds == theirs.timeout, "the timeouts differ")
    try FuzzFailure.unless(
      ours.metadata.entries.map(\.key) == theirs.metadata.map { $0.key.lowercased() }
        && ours.metadata.entries.map(\.value) == theirs.metadata.map(\.text),
      "the metadata differs")
  }

  // MARK: Responses

  private static func response(_ buffer: ByteBuffer, _ bytes: [UInt8]) throws {
    let theirs: ReferenceResponse? = reference(bytes)
    let ours: ResponseEnvelope
    do throws(WireError) {
      ours = try ResponseEnvelope(decoding: buffer)
    } catch {
      return try check(error, refusedByThem: theirs == nil)
    }
    guard let theirs else { throw FuzzFailure(description: "only SwiftProtobuf refuses it") }
    try compare(ours, theirs)

    let error = RPCError(code: ours.code, message: ours.message, details: ours.details)
    var out = ByteBuffer()
    ResponseHead.writeFailure(error, to: &out)
    try FuzzFailure.unless(
      out.readableBytes == ResponseHead.failureSize(error), "a failure's size was counted wrong")
    let again = try ResponseEnvelope(decoding: out)
    try FuzzFailure.unless(
      again.code == ours.code && again.message == ours.message && again.details == ours.details,
      "a failure changes when it is written")
    guard let reference: ReferenceResponse = reference(Array(out.readableBytesView)) else {
      throw FuzzFailure(description: "SwiftProtobuf refuses what ours wrote")
    }
    try compare(again, reference)
  }

  private static func compare(_ ours: ResponseEnvelope, _ theirs: ReferenceResponse) throws {
    let status = theirs.status ?? ReferenceStatus()
    try FuzzFailure.unless(ours.code.rawValue == status.code, "the codes differ")
    try FuzzFailure.unless(
      ours.message == String(decoding: status.message, as: UTF8.self), "the messages differ")
    try FuzzFailure.unless(
      ours.details.map(\.typeURL) == status.details.map(\.key)
        && ours.details.map(\.value) == status.details.map { Array($0.value) },
      "the details differ")
    try FuzzFailure.unless(
      ours.payload.readableBytesView.elementsEqual(theirs.payload), "the payloads differ")
  }
}
