import Synchronization

/// How much the streams of a connection hold that nobody has asked for yet.
///
/// Messages come in on the event loop and are taken on any thread, hence the atomics.
final class ReceiveAccount: Sendable {
  private let total = Atomic<Int>(0)
  private let limit: Int
  private let isHeld = Atomic<Bool>(false)

  init(limit: Int) { self.limit = limit }

  var held: Int { total.load(ordering: .relaxed) }
  var isFull: Bool { held >= limit }

  func add(_ cost: Int) { total.wrappingAdd(cost, ordering: .relaxed) }

  /// - Returns: whether reading waits for just this and goes on: the event loop must be told.
  func release(_ cost: Int) -> Bool {
    guard cost != 0 else { return false }
    let after = total.wrappingSubtract(cost, ordering: .sequentiallyConsistent).newValue
    guard after < limit, isHeld.load(ordering: .sequentiallyConsistent) else { return false }
    return isHeld.exchange(false, ordering: .sequentiallyConsistent)
  }

  /// Notes that reading waits until there is room.
  ///
  /// - Returns: false if there is room after all.
  func hold() -> Bool {
    isHeld.store(true, ordering: .sequentiallyConsistent)
    // Whoever released in between has not seen the note.
    if total.load(ordering: .sequentiallyConsistent) >= limit { return true }
    isHeld.store(false, ordering: .sequentiallyConsistent)
    return false
  }
}
