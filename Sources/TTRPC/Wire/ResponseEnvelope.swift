import NIOCore
import RPCCore

/// The data of a Response frame: `ttrpc.Response` with its `google.rpc.Status` (ttrpc's
/// request.proto).
struct ResponseEnvelope {
  private(set) var code = RPCCode.ok
  private(set) var message = ""
  private(set) var details: [RPCStatusDetail] = []
  private(set) var payload: ByteBuffer

  /// Success is no status (Go), an empty one (Rust) or one with code 0. A status that comes more
  /// than once is merged, as protobuf merges messages.
  init(decoding bytes: ByteBuffer) throws(WireError) {
    payload = ByteBuffer()
    var range = 0..<0
    // The closure may not be generic over a typed error, so the error comes out as a value.
    var fault: WireError?
    bytes.withUnsafeReadableBytes { raw in
      do throws(WireError) { try read(raw, payload: &range) } catch { fault = error }
    }
    if let fault { throw fault }
    if let slice = bytes.getSlice(at: bytes.readerIndex + range.lowerBound, length: range.count) {
      payload = slice
    }
  }

  private mutating func read(
    _ raw: UnsafeRawBufferPointer, payload: inout Range<Int>
  ) throws(WireError) {
    var reader = WireReader(raw)
    while let key = try reader.nextKey() {
      switch (key.field, key.type) {
      case (1, .lengthDelimited): try readStatus(raw, in: try reader.content())
      case (2, .lengthDelimited): payload = try reader.content()
      default: try reader.skip(key)
      }
    }
  }

  private mutating func readStatus(
    _ raw: UnsafeRawBufferPointer, in range: Range<Int>
  ) throws(WireError) {
    var reader = WireReader(raw, in: range)
    while let key = try reader.nextKey() {
      switch (key.field, key.type) {
      case (1, .varint):
        code = RPCCode(rawValue: Int32(truncatingIfNeeded: try reader.varint()))
      case (2, .lengthDelimited):
        // An error's text is worth having even when its author cut it within a character.
        message = String(decoding: raw[try reader.content()], as: UTF8.self)
      case (3, .lengthDelimited):
        details.append(try Self.readDetail(raw, in: try reader.content()))
      default: try reader.skip(key)
      }
    }
  }

  private static func readDetail(
    _ raw: UnsafeRawBufferPointer, in range: Range<Int>
  ) throws(WireError) -> RPCStatusDetail {
    var reader = WireReader(raw, in: range)
    var detail = RPCStatusDetail(typeURL: "", value: [])
    while let key = try reader.nextKey() {
      switch (key.field, key.type) {
      case (1, .lengthDelimited): detail.typeURL = try reader.string()
      case (2, .lengthDelimited): detail.value = try reader.byteArray()
      default: try reader.skip(key)
      }
    }
    return detail
  }
}

/// What a Response frame says. A success leaves the status out, as Go does; its payload is written
/// behind ``ResponseHead/writeSuccess(to:payload:)``.
enum ResponseHead {
  static func successSize(payload: Int) -> Int {
    payload == 0 ? 0 : ByteBuffer.contentFieldSize(payload)
  }

  /// Writes everything up to the payload's first byte.
  static func writeSuccess(to buffer: inout ByteBuffer, payload: Int) {
    if payload > 0 { buffer.writeContentHead(tag: 0x12, count: payload) }
  }

  static func failureSize(_ error: RPCError) -> Int {
    ByteBuffer.contentFieldSize(statusSize(error))
  }

  static func writeFailure(_ error: RPCError, to buffer: inout ByteBuffer) {
    buffer.writeContentHead(tag: 0x0a, count: statusSize(error))
    if error.code != .ok {
      buffer.writeInteger(0x08 as UInt8)
      buffer.writeVarint(wireCode(error))
    }
    if !error.message.isEmpty { buffer.writeStringField(tag: 0x12, error.message) }
    for detail in error.details {
      buffer.writeContentHead(tag: 0x1a, count: size(of: detail))
      if !detail.typeURL.isEmpty { buffer.writeStringField(tag: 0x0a, detail.typeURL) }
      if !detail.value.isEmpty {
        buffer.writeContentHead(tag: 0x12, count: detail.value.count)
        buffer.writeBytes(detail.value)
      }
    }
  }

  private static func statusSize(_ error: RPCError) -> Int {
    var size = error.code == .ok ? 0 : 1 + ByteBuffer.varintSize(wireCode(error))
    let message = error.message.utf8.count
    if message > 0 { size += ByteBuffer.contentFieldSize(message) }
    for detail in error.details { size += ByteBuffer.contentFieldSize(self.size(of: detail)) }
    return size
  }

  /// An int32 travels as the varint of its 64-bit sign extension.
  private static func wireCode(_ error: RPCError) -> UInt64 {
    UInt64(bitPattern: Int64(error.code.rawValue))
  }

  private static func size(of detail: RPCStatusDetail) -> Int {
    let (url, value) = (detail.typeURL.utf8.count, detail.value.count)
    return (url == 0 ? 0 : ByteBuffer.contentFieldSize(url))
      + (value == 0 ? 0 : ByteBuffer.contentFieldSize(value))
  }
}
