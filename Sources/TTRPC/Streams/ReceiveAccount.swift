import NIOCore
import Synchronization

/// How much the streams of a connection hold that nobody has asked for yet.
///
/// Messages come in on the event loop and are taken on any thread, hence the atomics.
final class ReceiveAccount: Sendable {
  let budget: TTRPCStreamBudget
  private let total = Atomic<Int>(0)
  /// Whether reading waits for room.
  private let isWaitedFor = Atomic<Bool>(false)

  init(_ budget: TTRPCStreamBudget) { self.budget = budget }

  var held: Int { total.load(ordering: .relaxed) }
  var isFull: Bool { held >= budget.connectionBytes }

  func add(_ cost: Int) { total.wrappingAdd(cost, ordering: .relaxed) }

  /// - Returns: whether reading has waited for this and goes on: the event loop must be told.
  func release(_ cost: Int) -> Bool {
    guard cost != 0 else { return false }
    let after = total.wrappingSubtract(cost, ordering: .sequentiallyConsistent).newValue
    guard after < budget.connectionBytes else { return false }
    guard isWaitedFor.load(ordering: .sequentiallyConsistent) else { return false }
    return isWaitedFor.exchange(false, ordering: .sequentiallyConsistent)
  }

  /// Notes that reading waits for room.
  ///
  /// - Returns: false if there is room after all.
  func awaitRoom() -> Bool {
    isWaitedFor.store(true, ordering: .sequentiallyConsistent)
    // Whoever released in between has not seen the note.
    if total.load(ordering: .sequentiallyConsistent) >= budget.connectionBytes { return true }
    isWaitedFor.store(false, ordering: .sequentiallyConsistent)
    return false
  }

  /// Whether a stream holds more than it may.
  func isCrowded(messages: Int, cost: Int) -> Bool {
    messages > budget.messages || cost > budget.bytes && messages > 1
  }

  /// What is held beyond this is copied out of the reads that it came in.
  private static let uncopied = 64 << 10

  /// A message that will be held. It is a slice of a whole read: where much is held already, it
  /// gets memory of its own, lest a few bytes here and there keep a hundred times their size.
  func compact(_ message: ByteBuffer) -> ByteBuffer {
    let needed = message.readableBytes + StreamMailbox.messageOverhead
    guard held > Self.uncopied, message.storageCapacity > 4 * needed else { return message }
    return ByteBuffer(bytes: message.readableBytesView)
  }
}
