internal import Synchronization

/// Hands each event to everybody who subscribed.
final class EventBroadcaster: Sendable {
  private struct State {
    var subscribers: [Int: AsyncStream<ShimEvent>.Continuation] = [:]
    var subscribed = 0
  }

  /// How many events a subscriber may be behind; the oldest are dropped then.
  private static let backlog = 4096
  private let state = Mutex(State())

  func subscribe() -> AsyncStream<ShimEvent> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ShimEvent.self, bufferingPolicy: .bufferingNewest(Self.backlog))
    let number = state.withLock { state in
      state.subscribed += 1
      state.subscribers[state.subscribed] = continuation
      return state.subscribed
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.subscribers.removeValue(forKey: number) }
    }
    return stream
  }

  func publish(_ event: ShimEvent) {
    for subscriber in state.withLock({ Array($0.subscribers.values) }) {
      subscriber.yield(event)
    }
  }
}
