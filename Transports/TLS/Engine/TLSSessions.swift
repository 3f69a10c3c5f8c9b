internal import COpenSSL
internal import Synchronization

/// A session that a later connection may resume, released with this object.
///
/// Safe to share: OpenSSL's sessions are not changed once a connection has handed them out, and are
/// counted with atomics.
final class TLSSession: @unchecked Sendable {
  let pointer: OpaquePointer

  /// Takes over a reference.
  init(owning pointer: OpaquePointer) { self.pointer = pointer }

  deinit { SSL_SESSION_free(pointer) }

  /// TLS 1.3's are for one use each, so that two connections cannot be linked (RFC 8446, C.4).
  var isForOneUse: Bool { SSL_SESSION_get_protocol_version(pointer) == TLS1_3_VERSION }
}

/// A client's sessions: for one configuration and one set of CAs, by server.
final class TLSSessions: Sendable {
  private static let servers = 256
  private static let perServer = 4

  private struct State {
    var sessions: [String: [TLSSession]] = [:]
    /// The servers, the one that was used longest ago first.
    var order: [String] = []
  }

  private let state = Mutex(State())

  /// The newest session with a server.
  func take(_ server: String) -> TLSSession? {
    state.withLock { state in
      guard let session = state.sessions[server]?.last else { return nil }
      if session.isForOneUse { state.sessions[server]?.removeLast() }
      return session
    }
  }

  func add(_ session: TLSSession, for server: String) {
    // Sessions that give way are released outside of the lock.
    let released = state.withLock { state -> [TLSSession] in
      var released: [TLSSession] = []
      if let index = state.order.firstIndex(of: server) { state.order.remove(at: index) }
      state.order.append(server)
      state.sessions[server, default: []].append(session)
      if state.sessions[server, default: []].count > Self.perServer {
        released += state.sessions[server].map { [$0[0]] } ?? []
        state.sessions[server]?.removeFirst()
      }
      if state.order.count > Self.servers {
        released += state.sessions.removeValue(forKey: state.order.removeFirst()) ?? []
      }
      return released
    }
    withExtendedLifetime(released) {}
  }
}
