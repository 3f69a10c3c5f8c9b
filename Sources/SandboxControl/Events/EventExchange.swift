public import ContainerdAPI
internal import SwiftProtobuf
internal import Synchronization

/// Hands every event to everybody who subscribed, in the order in which they are published.
///
/// What a subscriber has not taken yet is kept for it, up to a limit. Beyond that its subscription
/// ends, and says so: an event that is left out without a word would be worse.
public final class EventExchange: Sendable {
  public struct Limits: Hashable, Sendable {
    /// How many subscriptions there may be at once.
    public var subscribers = 256
    /// How many events one may be behind.
    public var events = 4096
    /// How many bytes of them. A single larger one is kept all the same.
    public var bytes = 8 << 20

    public init() {}
  }

  private struct State {
    var subscriptions: [Int: EventSubscription] = [:]
    var subscribed = 0
    var isClosed = false
  }

  let limits: Limits
  private let state = Mutex(State())

  public init(limits: Limits = Limits()) { self.limits = limits }

  /// How many subscriptions there are.
  public var subscribers: Int { state.withLock { $0.subscriptions.count } }

  /// Hands an event to those who have subscribed by now. Nobody is waited for.
  public func publish(_ event: Containerd_Types_Envelope) {
    // In one order for everybody: it is only put into queues.
    state.withLock { state in
      for subscription in state.subscriptions.values { subscription.put(event) }
    }
  }

  /// All events from now on, until the subscription is ended.
  ///
  /// - Throws: `overrun` when there are too many subscriptions, `stopping` when the exchange is closed.
  func subscribe() throws(SandboxControlError) -> EventSubscription {
    try state.withLock { state throws(SandboxControlError) in
      if state.isClosed { throw SandboxControlService.stopping }
      guard state.subscriptions.count < limits.subscribers else {
        throw SandboxControlError(
          code: .overrun,
          message: "there are \(state.subscriptions.count) subscribers to events, and no room for "
            + "another one")
      }
      state.subscribed += 1
      let subscription = EventSubscription(number: state.subscribed, limits: limits)
      state.subscriptions[state.subscribed] = subscription
      return subscription
    }
  }

  func unsubscribe(_ subscription: EventSubscription) {
    state.withLock { $0.subscriptions[subscription.number] = nil }
  }

  /// Ends all subscriptions, behind what they have not taken yet, and takes no new ones.
  public func close() {
    state.withLock { state in
      state.isClosed = true
      for subscription in state.subscriptions.values {
        subscription.finish(SandboxControlService.stopping)
      }
    }
  }
}

/// What one subscriber has not taken yet. It is for one reader.
final class EventSubscription: Sendable {
  private struct State {
    var queue: [Containerd_Types_Envelope] = []
    /// What of the queue has been taken already.
    var taken = 0
    var bytes = 0
    var end: SandboxControlError?
    var reader: CheckedContinuation<Void, Never>?
  }

  let number: Int
  private let limits: EventExchange.Limits
  private let state = Mutex(State())

  init(number: Int, limits: EventExchange.Limits) {
    self.number = number
    self.limits = limits
  }

  func put(_ event: Containerd_Types_Envelope) {
    change { state in
      guard state.end == nil else { return }
      let size = Self.size(of: event)
      let waiting = state.queue.count - state.taken
      guard waiting < limits.events, waiting == 0 || state.bytes + size <= limits.bytes else {
        // It is not going to be told all, and has no use for a part.
        state.queue = []
        state.taken = 0
        state.bytes = 0
        state.end = SandboxControlError(
          code: .overrun,
          message: "the subscriber to events was \(waiting) of them behind, which is too far",
          hint: "Subscribe anew; what happened in between is not told.")
        return
      }
      state.queue.append(event)
      state.bytes += size
    }
  }

  func finish(_ end: SandboxControlError) {
    change { state in if state.end == nil { state.end = end } }
  }

  private func change(_ body: (inout State) -> Void) {
    let reader = state.withLock { state in
      body(&state)
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume()
  }

  /// The next event, which is waited for.
  ///
  /// - Throws: why there are no more: `overrun`, `stopping`, `cancelled`.
  func next() async throws(SandboxControlError) -> Containerd_Types_Envelope {
    while true {
      let (event, end) = state.withLock { state in (Self.take(from: &state), state.end) }
      if let event { return event }
      if let end { throw end }
      if Task.isCancelled {
        throw SandboxControlError(code: .cancelled, message: "the subscription was cancelled")
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            guard state.taken == state.queue.count, state.end == nil, !Task.isCancelled else {
              return true
            }
            state.reader = continuation
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        change { _ in }
      }
    }
  }

  private static func take(from state: inout State) -> Containerd_Types_Envelope? {
    guard state.taken < state.queue.count else { return nil }
    let event = state.queue[state.taken]
    state.taken += 1
    state.bytes -= size(of: event)
    if state.taken == state.queue.count {
      state.queue.removeAll(keepingCapacity: state.queue.count < 64)
      state.taken = 0
    } else if state.taken >= 256 {
      state.queue.removeFirst(state.taken)
      state.taken = 0
    }
    return event
  }

  private static func size(of event: Containerd_Types_Envelope) -> Int {
    event.event.value.count + event.event.typeURL.utf8.count + event.topic.utf8.count
      + event.namespace.utf8.count + 64
  }
}
