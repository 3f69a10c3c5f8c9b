internal import Logging
internal import Synchronization

/// The credentials of all configurations that are in use, so that connections share contexts and
/// sessions.
final class TLSCredentialStore: Sendable {
  private static let limit = 128

  private struct Key: Hashable {
    var configuration: TLSConfiguration
    var role: TLSRole
  }

  private struct State {
    var credentials: [Key: TLSCredentials] = [:]
    /// The keys, the one that came first being first.
    var order: [Key] = []
  }

  private let logger: Logger?
  private let state = Mutex(State())

  init(logger: Logger?) { self.logger = logger }

  var all: [TLSCredentials] { state.withLock { Array($0.credentials.values) } }

  func credentials(
    _ configuration: TLSConfiguration, _ role: TLSRole
  ) async throws(TLSError) -> TLSCredentials {
    let key = Key(configuration: configuration, role: role)
    if let found = state.withLock({ $0.credentials[key] }) { return found }
    let made = try await TLSCredentials(configuration, role: role, logger: logger)
    return state.withLock { state in
      // Whoever came first while the files were read: sessions are worth sharing.
      if let found = state.credentials[key] { return found }
      if state.order.count >= Self.limit { state.credentials[state.order.removeFirst()] = nil }
      state.order.append(key)
      state.credentials[key] = made
      return made
    }
  }
}
