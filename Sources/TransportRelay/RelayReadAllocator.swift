internal import NIOCore

/// Sizes the buffers that one side is read into: small while little comes, up to a limit when much
/// does. A channel keeps only the first one, so that a bridge on which nothing moves holds a few KiB,
/// whatever went over it before.
struct RelayReadAllocator: RecvByteBufferAllocator {
  static let least = 2048

  private let most: Int
  private var next: Int

  init(most: Int) {
    self.most = most
    next = min(Self.least, most)
  }

  /// - Returns: always that the next buffer may be larger. A channel that keeps one buffer (its most
  ///   messages a read are 1) then makes each of the others anew, and lets go of it when it is written.
  mutating func record(actualReadBytes count: Int) -> Bool {
    // One that was filled may have left much behind, and the other side can have all of it at once.
    next = count >= next ? most : min(max(2 * count, Self.least), most)
    return true
  }

  func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: next) }
}
