public import NIOCore

/// What a peer has to do to count as ready, beyond taking a connection.
///
/// A probe gets a connection of its own, once a try, which is closed behind it. Any call can be one:
///
///     ReadinessProbe(name: "Check") { connection in
///       let client = await TTRPCClient.adopt(connection)
///       _ = try await client.unary(check, Empty(), returning: Health.self)
///     }
public struct ReadinessProbe: Sendable {
  /// What messages call it.
  public let name: String
  /// What one try does.
  let makeTry: @Sendable () -> Try

  struct Try: Sendable {
    let configure: @Sendable (any Channel) throws -> Void
    let check: @Sendable (Connection) async throws -> Void
  }

  /// - Parameters:
  ///   - configure: adds handlers to the channel before a byte can have been read. What a peer that
  ///     speaks first says is lost to handlers that only `check` adds.
  ///   - check: returns when the peer is ready. An ``AttemptFailure`` that it throws is taken as it
  ///     is, and a ``TransportError`` of a policy's refusal is final; after any other error there is
  ///     another try. When the try's time is up its task is cancelled and the connection closed.
  public init(
    name: String, configure: @escaping @Sendable (any Channel) throws -> Void = { _ in },
    check: @escaping @Sendable (Connection) async throws -> Void
  ) {
    self.name = name
    self.makeTry = { Try(configure: configure, check: check) }
  }

  /// A probe whose handlers hand something to its check, such as a future of an answer: the channel
  /// of a peer that is quick may be closed, and have lost its handlers, before `check` is called.
  ///
  /// - Parameter makeState: makes what the two share, once a try.
  public init<State: Sendable>(
    name: String, makeState: @escaping @Sendable () -> State,
    configure: @escaping @Sendable (any Channel, State) throws -> Void,
    check: @escaping @Sendable (Connection, State) async throws -> Void
  ) {
    self.name = name
    self.makeTry = {
      let state = makeState()
      return Try(configure: { try configure($0, state) }, check: { try await check($0, state) })
    }
  }

  /// The peer takes connections: the transport's own handshakes and the policy are through.
  public static let transport = ReadinessProbe(name: "transport") { _ in }
}

/// How a peer became ready.
public struct Readiness: Sendable {
  public var peer: PeerIdentity
  /// How long each phase of the try that succeeded took, the probe's last.
  public var timings: [PhaseTiming]
  /// How many tries there were.
  public var attempts: Int
  /// How long all of it took, tries and pauses.
  public var waited: Duration
}
