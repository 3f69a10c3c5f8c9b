internal import NIOCore

/// What arrives on a connection with faults: bytes come late, in pieces, and end early. No I/O is
/// done here; ``FaultHandler`` carries the steps out.
struct FaultedInput {
  enum Step {
    /// Nothing to do until more arrives.
    case idle
    /// Nothing to do before then.
    case wait(NIODeadline)
    /// There are bytes, but nobody wants to read.
    case held
    case deliver(ByteBuffer)
    /// Something that is not bytes, in its place among them.
    case event(Any)
    case error(any Error)
    /// Fails the connection with ECONNRESET. Nothing comes behind it.
    case reset
    /// Ends the input. Nothing comes behind it.
    case end
  }

  private enum Item {
    case bytes(ByteBuffer)
    case event(Any)
    case error(any Error)
  }

  private let faults: MemoryFaults
  private var items: CircularBuffer<(due: NIODeadline, item: Item)> = []
  private var delivered = 0
  private(set) var hasEnded = false
  /// Bytes that have arrived and were not delivered.
  private(set) var heldBytes = 0

  init(_ faults: MemoryFaults) { self.faults = faults }

  mutating func arrived(_ bytes: ByteBuffer, now: NIODeadline) {
    guard !hasEnded, bytes.readableBytes > 0 else { return }
    heldBytes += bytes.readableBytes
    items.append((due(now), .bytes(bytes)))
  }

  mutating func arrived(event: Any, now: NIODeadline) { items.append((due(now), .event(event))) }

  mutating func arrived(error: any Error, now: NIODeadline) {
    items.append((due(now), .error(error)))
  }

  private func due(_ now: NIODeadline) -> NIODeadline { now + TimeAmount(faults.latency) }

  /// The next thing to do; ask again after each but `idle`, `wait` and `held`.
  ///
  /// - Parameters:
  ///   - now: `nil` when the connection is over: what is left comes at once.
  ///   - mayRead: whether the handlers behind want bytes.
  mutating func next(now: NIODeadline?, mayRead: Bool) -> Step {
    if !hasEnded, let ending = earlyEnd() { return ending }
    guard let (due, item) = items.first else { return .idle }
    if let now, due > now { return .wait(due) }
    switch item {
    case .event(let event):
      items.removeFirst()
      return .event(event)
    case .error(let error):
      items.removeFirst()
      return .error(error)
    case .bytes(var bytes):
      guard mayRead else { return .held }
      let count = min(bytes.readableBytes, faults.chunk ?? .max, left)
      // Not nil: it is no more than is there.
      guard let piece = bytes.readSlice(length: count) else { return .idle }
      items.removeFirst()
      if bytes.readableBytes > 0 { items.prepend((due, .bytes(bytes))) }
      heldBytes -= count
      delivered += count
      return .deliver(piece)
    }
  }

  /// How many bytes may be delivered before the input ends early.
  private var left: Int {
    min(faults.resetAfterReading ?? .max, faults.endAfterReading ?? .max) - delivered
  }

  private mutating func earlyEnd() -> Step? {
    guard left <= 0 else { return nil }
    hasEnded = true
    heldBytes = 0
    items.removeAll()
    return delivered == faults.resetAfterReading ? .reset : .end
  }
}
