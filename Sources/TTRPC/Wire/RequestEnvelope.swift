import NIOCore
import RPCCore

/// The data of a Request frame: `ttrpc.Request` (ttrpc's request.proto), read without copying the
/// payload or making strings of the names.
struct RequestEnvelope {
  /// The envelope's own bytes, which the ranges point into.
  let bytes: ByteBuffer
  private(set) var service = 0..<0
  private(set) var method = 0..<0
  private(set) var payload: ByteBuffer
  /// How long the caller will wait, in nanoseconds. 0: for ever. Negative: no longer.
  private(set) var timeoutNanoseconds: Int64 = 0
  private(set) var metadata = RPCMetadata()

  /// Fields may come in any order and more than once; the last one counts. Unknown ones are
  /// passed over.
  init(decoding bytes: ByteBuffer) throws(WireError) {
    self.bytes = bytes
    self.payload = ByteBuffer()
    var payload = 0..<0
    // The closure may not be generic over a typed error, so the error comes out as a value.
    var fault: WireError?
    bytes.withUnsafeReadableBytes { raw in
      do throws(WireError) { try read(raw, payload: &payload) } catch { fault = error }
    }
    if let fault { throw fault }
    if let slice = bytes.getSlice(
      at: bytes.readerIndex + payload.lowerBound, length: payload.count)
    {
      self.payload = slice
    }
  }

  private mutating func read(
    _ raw: UnsafeRawBufferPointer, payload: inout Range<Int>
  ) throws(WireError) {
    var reader = WireReader(raw)
    while let key = try reader.nextKey() {
      switch (key.field, key.type) {
      case (1, .lengthDelimited): service = try reader.content()
      case (2, .lengthDelimited): method = try reader.content()
      case (3, .lengthDelimited): payload = try reader.content()
      case (4, .varint): timeoutNanoseconds = Int64(bitPattern: try reader.varint())
      case (5, .lengthDelimited): try readMetadata(raw, in: try reader.content())
      default: try reader.skip(key)
      }
    }
  }

  private mutating func readMetadata(
    _ raw: UnsafeRawBufferPointer, in range: Range<Int>
  ) throws(WireError) {
    var reader = WireReader(raw, in: range)
    var name = ""
    var value = ""
    while let key = try reader.nextKey() {
      switch (key.field, key.type) {
      case (1, .lengthDelimited): name = try reader.string()
      case (2, .lengthDelimited): value = try reader.string()
      default: try reader.skip(key)
      }
    }
    metadata.append(value, for: name)
  }

  /// What the metadata takes as strings: a short entry costs much more than it has on the wire.
  var metadataCost: Int {
    metadata.entries.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 128 }
  }
  /// What is kept while a handler has the payload, a slice of the envelope, and the metadata.
  var heldBytes: Int { bytes.readableBytes + metadataCost }

  /// The service's name as text. Bytes that are not UTF-8 are replaced.
  var serviceName: String { text(service) }
  var methodName: String { text(method) }

  private func text(_ range: Range<Int>) -> String {
    bytes.withUnsafeReadableBytes { String(decoding: $0[range], as: UTF8.self) }
  }
}

/// What a Request frame holds in front of its payload. The payload's field comes last, so that a
/// large payload need not be copied behind it.
struct RequestHead {
  var method: RPCMethod
  /// 0: none.
  var timeoutNanoseconds: Int64 = 0
  var metadata = RPCMetadata()

  /// The bytes of the whole envelope.
  func envelopeSize(payload: Int) -> Int {
    var size = method.envelopePrefix.count
    if timeoutNanoseconds != 0 {
      size += 1 + ByteBuffer.varintSize(UInt64(bitPattern: timeoutNanoseconds))
    }
    for entry in metadata.entries { size += ByteBuffer.contentFieldSize(Self.size(of: entry)) }
    // Proto3 leaves out a field with its default value.
    if payload > 0 { size += ByteBuffer.contentFieldSize(payload) }
    return size
  }

  /// Writes everything up to the payload's first byte.
  func write(to buffer: inout ByteBuffer, payload: Int) {
    buffer.writeBytes(method.envelopePrefix)
    if timeoutNanoseconds != 0 {
      buffer.writeInteger(0x20 as UInt8)
      buffer.writeVarint(UInt64(bitPattern: timeoutNanoseconds))
    }
    for entry in metadata.entries {
      buffer.writeContentHead(tag: 0x2a, count: Self.size(of: entry))
      if !entry.key.isEmpty { buffer.writeStringField(tag: 0x0a, entry.key) }
      if !entry.value.isEmpty { buffer.writeStringField(tag: 0x12, entry.value) }
    }
    if payload > 0 { buffer.writeContentHead(tag: 0x1a, count: payload) }
  }

  private static func size(of entry: RPCMetadata.Entry) -> Int {
    let (key, value) = (entry.key.utf8.count, entry.value.utf8.count)
    return (key == 0 ? 0 : ByteBuffer.contentFieldSize(key))
      + (value == 0 ? 0 : ByteBuffer.contentFieldSize(value))
  }
}
