import NIOCore
import RPCCore
import SwiftProtobuf

/// A NIO buffer as SwiftProtobuf's bag of bytes: messages are encoded into and decoded from the
/// memory that the channel uses, without a copy between.
struct MessageBytes: SwiftProtobufContiguousBytes {
  var buffer: ByteBuffer

  init(_ buffer: ByteBuffer) { self.buffer = buffer }

  init(repeating byte: UInt8, count: Int) { buffer = ByteBuffer(repeating: byte, count: count) }

  init<S: Sequence>(_ sequence: S) where S.Element == UInt8 { buffer = ByteBuffer(bytes: sequence) }

  var count: Int { buffer.readableBytes }

  func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeReadableBytes(body)
  }

  mutating func withUnsafeMutableBytes<R>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> R
  ) rethrows -> R {
    try buffer.withUnsafeMutableReadableBytes(body)
  }
}

extension Message {
  /// The message's encoded bytes, in a buffer of just their size.
  func encodedBuffer() throws -> ByteBuffer {
    let bytes: MessageBytes = try serializedBytes()
    return bytes.buffer
  }

  init(decoding buffer: ByteBuffer) throws {
    try self.init(serializedBytes: MessageBytes(buffer))
  }
}
