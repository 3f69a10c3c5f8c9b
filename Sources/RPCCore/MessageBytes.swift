public import NIOCore
public import SwiftProtobuf

/// A NIO buffer as SwiftProtobuf's bag of bytes: messages are encoded into and decoded from the
/// memory that the channel uses, without a copy between.
@usableFromInline
struct MessageBytes: SwiftProtobufContiguousBytes {
  @usableFromInline var buffer: ByteBuffer

  @inlinable init(_ buffer: ByteBuffer) { self.buffer = buffer }

  /// Room for that many bytes, which are left as they are: the encoder, who asks for it, writes every
  /// one of them, or throws and nobody sees it.
  @inlinable init(repeating byte: UInt8, count: Int) {
    buffer = ByteBufferAllocator().buffer(capacity: count)
    buffer.moveWriterIndex(forwardBy: count)
  }

  @inlinable init<S: Sequence>(_ sequence: S) where S.Element == UInt8 {
    buffer = ByteBuffer(bytes: sequence)
  }

  @inlinable var count: Int { buffer.readableBytes }

  @inlinable func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeReadableBytes(body)
  }

  @inlinable mutating func withUnsafeMutableBytes<R>(
    _ body: (UnsafeMutableRawBufferPointer) throws -> R
  ) rethrows -> R {
    try buffer.withUnsafeMutableReadableBytes(body)
  }
}

extension Message {
  /// The message's encoded bytes, in a buffer of just their size.
  @inlinable package func encodedBuffer() throws -> ByteBuffer {
    let bytes: MessageBytes = try serializedBytes()
    return bytes.buffer
  }

  @inlinable package init(decoding buffer: ByteBuffer) throws {
    try self.init(serializedBytes: MessageBytes(buffer))
  }
}
