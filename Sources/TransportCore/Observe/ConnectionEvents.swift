internal import Synchronization

/// Is told of connection events, in ``ConnectOptions/observer`` or ``ListenOptions/observer``.
public protocol ConnectionObserver: Sendable {
  /// Called where the event happens, often on an event loop: it must not block.
  func observe(_ event: ConnectionEvent)
}

/// The connection events of the whole process.
public enum ConnectionEvents {
  /// Follows what is dialled and listened at from now on, until the stream is let go of or its
  /// iteration cancelled. A connection that was there before is not followed.
  ///
  /// - Parameter limit: how many events wait for a slow reader; beyond that the oldest are dropped
  ///   and counted.
  public static func subscribe(bufferingNewest limit: Int = 1024) -> ConnectionEventStream {
    let (events, continuation) = AsyncStream.makeStream(
      of: ConnectionEvent.self, bufferingPolicy: .bufferingNewest(max(limit, 1)))
    let subscriber = EventSubscriber(continuation)
    EventHub.shared.add(subscriber)
    return ConnectionEventStream(events: events, subscriber: subscriber)
  }
}

/// Events in the order in which they happened.
public struct ConnectionEventStream: AsyncSequence, Sendable {
  public typealias Element = ConnectionEvent

  fileprivate let events: AsyncStream<ConnectionEvent>
  fileprivate let subscriber: EventSubscriber

  /// How many events were dropped because nobody took them in time.
  public var dropped: Int { subscriber.dropped.load(ordering: .relaxed) }

  public func makeAsyncIterator() -> AsyncStream<ConnectionEvent>.Iterator {
    events.makeAsyncIterator()
  }
}

final class EventSubscriber: ConnectionObserver {
  fileprivate let dropped = Atomic(0)
  private let continuation: AsyncStream<ConnectionEvent>.Continuation

  init(_ continuation: AsyncStream<ConnectionEvent>.Continuation) {
    self.continuation = continuation
    continuation.onTermination = { [weak self] _ in
      if let self { EventHub.shared.remove(self) }
    }
  }

  func observe(_ event: ConnectionEvent) {
    if case .dropped = continuation.yield(event) { dropped.add(1, ordering: .relaxed) }
  }
}

/// Who follows the process's events. Asking whether anybody does costs one atomic load.
final class EventHub: Sendable {
  static let shared = EventHub()

  private let count = Atomic(0)
  private let subscribers = Mutex<[EventSubscriber]>([])

  var isEmpty: Bool { count.load(ordering: .relaxed) == 0 }

  func add(_ subscriber: EventSubscriber) {
    subscribers.withLock {
      $0.append(subscriber)
      count.store($0.count, ordering: .relaxed)
    }
  }

  func remove(_ subscriber: EventSubscriber) {
    subscribers.withLock {
      $0.removeAll { $0 === subscriber }
      count.store($0.count, ordering: .relaxed)
    }
  }

  func publish(_ event: ConnectionEvent) {
    for subscriber in subscribers.withLock({ $0 }) { subscriber.observe(event) }
  }
}
