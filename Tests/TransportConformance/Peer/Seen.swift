internal import Synchronization

/// What the handlers of connections that must not begin have seen nevertheless.
final class Seen: Sendable {
  enum Event: Hashable { case active, bytes }

  private let events = Mutex<[Event]>([])

  func note(_ event: Event) { events.withLock { $0.append(event) } }

  var all: [Event] { events.withLock { $0 } }
}
