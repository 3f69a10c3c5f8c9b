import NIOCore
import RPCCore

/// Collects a tick's outgoing frames, so that one write takes them all.
///
/// Small frames are encoded straight into one buffer. A large payload is not copied: what stands
/// before it and the payload itself become writes of their own, which leave in one `writev`.
struct FrameWriter {
  private var collected = ByteBuffer()

  /// Payloads from this size on are passed on as they are.
  static let largePayload = 16 << 10
  /// What is collected before it is time to flush.
  private static let enough = 64 << 10

  var isEmpty: Bool { collected.readableBytes == 0 }
  /// Whether so much is collected that it should be flushed without waiting for the tick's end.
  var wantsFlush: Bool { collected.readableBytes >= Self.enough }

  mutating func request(
    _ head: RequestHead, streamID: UInt32, flags: FrameFlags = [], payload: ByteBuffer,
    write: (ByteBuffer) -> Void
  ) {
    let count = payload.readableBytes
    writeHeader(head.envelopeSize(payload: count), streamID, .request, flags)
    head.write(to: &collected, payload: count)
    append(payload, write: write)
  }

  mutating func success(streamID: UInt32, payload: ByteBuffer, write: (ByteBuffer) -> Void) {
    let count = payload.readableBytes
    writeHeader(ResponseHead.successSize(payload: count), streamID, .response)
    ResponseHead.writeSuccess(to: &collected, payload: count)
    append(payload, write: write)
  }

  mutating func data(streamID: UInt32, message: ByteBuffer, write: (ByteBuffer) -> Void) {
    writeHeader(message.readableBytes, streamID, .data)
    append(message, write: write)
  }

  /// Says that this side of a stream sends no more.
  mutating func end(streamID: UInt32) { writeHeader(0, streamID, .data, .end) }

  mutating func failure(streamID: UInt32, _ error: RPCError) {
    writeHeader(ResponseHead.failureSize(error), streamID, .response)
    ResponseHead.writeFailure(error, to: &collected)
  }

  /// Hands out what is collected. Call ``recycle()`` once it has been flushed.
  mutating func emit(_ write: (ByteBuffer) -> Void) {
    guard !isEmpty else { return }
    write(collected)
    collected.moveReaderIndex(to: collected.writerIndex)
  }

  /// Makes the buffer ready for the next tick: the same memory again when the channel is done with
  /// it, unless a burst has made it large. Nothing may be collected between the two.
  mutating func recycle() {
    if collected.capacity > 2 * Self.enough {
      collected = ByteBuffer()
    } else {
      collected.clear()
    }
  }

  private mutating func writeHeader(
    _ length: Int, _ streamID: UInt32, _ type: FrameType, _ flags: FrameFlags = []
  ) {
    // The callers have checked the length against the limit, which is far below 2^32.
    collected.writeMultipleIntegers(
      UInt32(truncatingIfNeeded: length), streamID, type.rawValue, flags.rawValue)
  }

  private mutating func append(_ payload: ByteBuffer, write: (ByteBuffer) -> Void) {
    if payload.readableBytes < Self.largePayload {
      collected.writeImmutableBuffer(payload)
    } else {
      emit(write)
      // The channel has the memory until it is flushed; writing into it would copy it.
      collected = ByteBuffer()
      write(payload)
    }
  }
}
