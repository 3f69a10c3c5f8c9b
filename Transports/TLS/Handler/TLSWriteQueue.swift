internal import NIOCore

/// What was written and not yet encrypted. Small writes that were flushed together become one record.
struct TLSWriteQueue {
  private struct Item {
    var buffer: ByteBuffer
    var promise: EventLoopPromise<Void>?
  }

  private var items = CircularBuffer<Item>()
  private var flushed = 0
  private(set) var byteCount = 0
  private(set) var flushedByteCount = 0
  private var gathered: [UInt8] = []

  var hasFlushed: Bool { flushed > 0 }

  mutating func append(_ buffer: ByteBuffer, _ promise: EventLoopPromise<Void>?) {
    byteCount += buffer.readableBytes
    items.append(Item(buffer: buffer, promise: promise))
  }

  mutating func mark() {
    flushed = items.count
    flushedByteCount = byteCount
  }

  /// Gives `body` what is to go next into records, and takes away what it used: all of it, or as many
  /// bytes as it says.
  ///
  /// - Returns: the promises of those writes that are used up; nil when nothing was flushed.
  mutating func next(_ body: (UnsafeRawBufferPointer) -> Int) -> [EventLoopPromise<Void>]? {
    guard let first = items.first, flushed > 0 else { return nil }
    guard flushed > 1, first.buffer.readableBytes < TLSEngine.recordPayload / 4 else {
      return use(first.buffer.withUnsafeReadableBytes(body))
    }
    gathered.removeAll(keepingCapacity: true)
    for index in 0..<flushed {
      let buffer = items[items.index(items.startIndex, offsetBy: index)].buffer
      guard gathered.count + buffer.readableBytes <= TLSEngine.recordPayload else { break }
      gathered.append(contentsOf: buffer.readableBytesView)
    }
    return use(gathered.withUnsafeBytes(body))
  }

  private mutating func use(_ count: Int) -> [EventLoopPromise<Void>] {
    var rest = count
    var promises: [EventLoopPromise<Void>] = []
    byteCount -= count
    flushedByteCount -= count
    while flushed > 0, items[items.startIndex].buffer.readableBytes <= rest {
      rest -= items[items.startIndex].buffer.readableBytes
      if let promise = items.removeFirst().promise { promises.append(promise) }
      flushed -= 1
    }
    if rest > 0 { items[items.startIndex].buffer.moveReaderIndex(forwardBy: rest) }
    return promises
  }

  mutating func fail(_ error: any Error) {
    let all = items
    items.removeAll()
    (flushed, byteCount, flushedByteCount) = (0, 0, 0)
    for item in all { item.promise?.fail(error) }
  }
}
