internal import NIOCore
internal import Synchronization
internal import TransportCore

/// A client's handshake, as who waits for it sees it: how it went is kept here, whatever became of the
/// channel since, and to learn it takes nothing of the event loop.
final class TLSHandshake: Sendable {
  typealias Result = Swift.Result<TLSHandler.Outcome, any Error>

  private enum State {
    case running
    case awaited(CheckedContinuation<Result, Never>)
    case over(Result)
  }

  private let policy: PeerPolicy
  private let state = Mutex(State.running)
  private let announced = Mutex<PeerIdentity?>(nil)

  init(_ policy: PeerPolicy) { self.policy = policy }

  /// Whom the handshake was begun with, if it was.
  var announcedPeer: PeerIdentity? { announced.withLock { $0 } }

  /// It begins, with this peer.
  func admission(of peer: PeerIdentity) -> TLSAdmission {
    announced.withLock { $0 = peer }
    return TLSAdmission(peer, policy)
  }

  /// Once.
  func settle(_ result: Result) {
    let continuation = state.withLock { state -> CheckedContinuation<Result, Never>? in
      defer { state = .over(result) }
      guard case .awaited(let continuation) = state else { return nil }
      return continuation
    }
    continuation?.resume(returning: result)
  }

  /// How it went. It is waited for once, and ends when its channel does.
  func result() async -> Result {
    await withCheckedContinuation { continuation in
      let result = state.withLock { state -> Result? in
        if case .over(let result) = state { return result }
        state = .awaited(continuation)
        return nil
      }
      if let result { continuation.resume(returning: result) }
    }
  }
}

/// Those of one try to connect: of one channel, as a rule, and of each when the transport beneath makes
/// several.
final class TLSHandshakes: Sendable {
  private let handshakes = Mutex<[ObjectIdentifier: TLSHandshake]>([:])

  func add(_ channel: any Channel, _ policy: PeerPolicy) -> TLSHandshake {
    let handshake = TLSHandshake(policy)
    handshakes.withLock { $0[ObjectIdentifier(channel)] = handshake }
    return handshake
  }

  func of(_ channel: any Channel) -> TLSHandshake? {
    handshakes.withLock { $0[ObjectIdentifier(channel)] }
  }
}
