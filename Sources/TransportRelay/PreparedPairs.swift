internal import NIOCore
internal import Synchronization

/// The near sides that were prepared and are not run yet. A channel that has closed meanwhile has lost
/// its handlers, and what was read of it is still to be delivered.
final class PreparedPairs: Sendable {
  private struct State {
    var next: UInt64 = 0
    var pairs: [ObjectIdentifier: (number: UInt64, pair: NIOLoopBound<RelayPair>)] = [:]
  }

  /// A connection that nobody runs, because the policy refused it, is forgotten with its channel, or
  /// so long behind it when it had left something.
  private static let patience = TimeAmount.seconds(60)

  private let state = Mutex(State())

  /// On the channel's event loop.
  func add(_ pair: RelayPair, of channel: any Channel) {
    let key = ObjectIdentifier(channel)
    let bound = NIOLoopBound(pair, eventLoop: channel.eventLoop)
    let number = state.withLock { state in
      state.next += 1
      state.pairs[key] = (state.next, bound)
      return state.next
    }
    let loop = channel.eventLoop
    channel.closeFuture.whenComplete { _ in
      guard !bound.value.isUnwanted else { return self.forget(key, number) }
      loop.scheduleTask(in: Self.patience) { self.forget(key, number) }
    }
  }

  func take(_ channel: any Channel) -> NIOLoopBound<RelayPair>? {
    state.withLock { $0.pairs.removeValue(forKey: ObjectIdentifier(channel))?.pair }
  }

  /// Another channel may have the same identifier by now.
  private func forget(_ key: ObjectIdentifier, _ number: UInt64) {
    state.withLock { state in
      if state.pairs[key]?.number == number { state.pairs[key] = nil }
    }
  }
}
