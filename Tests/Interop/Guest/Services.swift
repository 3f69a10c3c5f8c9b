internal import NIOCore
internal import TransportConformance
internal import TransportCore
internal import VsockTransport

/// What a guest that serves listens at. All ports take anyone, but for ``hostsAlone``.
enum Services {
  /// A conformance server.
  static let conformance: UInt32 = 1024
  /// A conformance server that speaks first.
  static let greetingConformance: UInt32 = 1025
  /// The same for siblings, see SmallPackets.
  static let siblings: UInt32 = 1034
  static let siblingsGreeting: UInt32 = 1035
  /// Sends 10,000 bytes, and leaves it to the peer to close.
  static let speakingFirst: UInt32 = 1026
  /// Says who the peer is, `cid CID`, and closes.
  static let identifying: UInt32 = 1027
  /// The same, with the default policy.
  static let hostsAlone: UInt32 = 1028
  /// Says `late`. It listens some seconds after all others.
  static let late: UInt32 = 1029
  /// The host's port where it is told that this guest is ready.
  static let announcement: UInt32 = 5000

  /// Serves until the machine is gone or the task is cancelled.
  static func run(announcing: Bool = false, late: Bool = false) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      let servers = [
        (conformance, greets: false, small: false), (greetingConformance, true, false),
        (siblings, false, true), (siblingsGreeting, true, true),
      ]
      for (port, greets, small) in servers {
        // The vsock device between host and guest does not carry half-close.
        let server = ConformanceServer(greets: greets, halfClose: false)
        let listener = try VsockListenerFactory().listen(onBound: port, smallPackets: small)
        group.addTask {
          try await listener.run(
            policy: .anyone, configure: server.configure, onConnection: server.serve)
        }
      }
      try await serve(speakingFirst, in: &group) { _ in pattern(10_000) }
      try await serve(identifying, ends: true, in: &group, identity)
      try await serve(hostsAlone, policy: nil, ends: true, in: &group, identity)
      GuestPeer.say("serves")
      if announcing { try await announce() }
      if late {
        try await Task.sleep(for: .seconds(3))
        try await serve(Self.late, ends: true, in: &group) { _ in ByteBuffer(string: "late") }
        GuestPeer.say("serves late")
      }
      // None of them ends by itself.
      try await group.next()
    }
  }

  /// Byte `i` is that of `i * 31 + i / 256`, so that bytes that moved are seen.
  private static func pattern(_ count: Int) -> ByteBuffer {
    ByteBuffer(bytes: (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
  }

  private static func identity(_ peer: PeerIdentity) -> ByteBuffer {
    ByteBuffer(string: "cid \(peer.vsock.map { "\($0.cid)" } ?? "unknown")")
  }

  private static func listen(_ port: UInt32) async throws -> any Listener {
    try await VsockListenerFactory().listen(
      at: TransportAddress(place: .vsock(cid: nil, port: port)), options: ListenOptions())
  }

  /// Listens, and writes the same to everybody who connects.
  private static func serve(
    _ port: UInt32, policy: PeerPolicy? = .anyone, ends: Bool = false,
    in group: inout ThrowingTaskGroup<Void, any Error>,
    _ bytes: @escaping @Sendable (PeerIdentity) -> ByteBuffer
  ) async throws {
    let listener = try await listen(port)
    group.addTask {
      try await listener.run(policy: policy, configure: { _ in }) { connection in
        do {
          try await connection.channel.writeAndFlush(bytes(connection.peer)).get()
          if !ends { try await connection.channel.closeFuture.get() }
        } catch {
          GuestPeer.say("port \(port): \(connection.peer): \(error)")
        }
      }
    }
  }

  /// Tells the host that this guest is ready: connects to it, once it listens.
  private static func announce() async throws {
    let connection = try await VsockConnector().connect(
      to: TransportAddress(place: .vsock(cid: 2, port: announcement)),
      options: ConnectOptions(timeout: .seconds(60), mode: .waitUntilReady())
    ) { _ in }
    try await connection.channel.writeAndFlush(ByteBuffer(string: "ready")).get()
    // What was written is with the host before the host closes.
    try await connection.channel.closeFuture.get()
    GuestPeer.say("announced")
  }
}
