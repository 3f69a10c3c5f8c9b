public import NIOCore
internal import Synchronization
public import TransportCore

/// The listening side of the checks: does what the dialling side asks for, connection by connection.
///
/// Checks run one in their own process. To check a transport from one machine to another, or over
/// a command's standard input and output, run one there: pass ``configure(_:)`` and ``serve(_:)`` to
/// a listener, and name its address with ``ConformanceSubject/Peer/running(address:)``.
public final class ConformanceServer: Sendable {
  /// What every connection begins with when the server speaks first.
  static let greeting = "The server spoke first, and not a byte of it may be lost.\n"

  private let greets: Bool
  private let halfClose: Bool
  private let identifiesDialer: @Sendable (PeerIdentity) -> Bool
  private let seen = Seen()
  private let reports = Mutex<[UInt64: Verdict]>([:])
  private let serving = Mutex(0)

  /// - Parameters:
  ///   - greets: speaks first on every connection.
  ///   - halfClose: the transport tells the end of the dialer's output apart from a full close.
  ///   - identifiesDialer: whether the dialer is who it should be.
  public init(
    greets: Bool = false, halfClose: Bool = true,
    identifiesDialer: @escaping @Sendable (PeerIdentity) -> Bool = { _ in true }
  ) {
    self.greets = greets
    self.halfClose = halfClose
    self.identifiesDialer = identifiesDialer
  }

  /// Adds the server's handlers to a connection.
  @Sendable public func configure(_ channel: any Channel) throws {
    try Wire.configure(
      channel, halfClose: halfClose, greeting: greets ? ByteBuffer(string: Self.greeting) : nil,
      seen: seen)
  }

  /// Serves one connection until its end.
  @Sendable public func serve(_ connection: Connection) async {
    serving.withLock { $0 += 1 }
    defer { serving.withLock { $0 -= 1 } }
    do {
      let wire = try Wire(connection)
      while let request = try await Self.request(from: wire) { try await answer(request, wire) }
    } catch {
      // A dialer that goes away in the middle is what some checks are about. What a dialer waits
      // for, it misses by itself.
    }
    // Not active any more means closed. It may be closed already, which is an error to NIO.
    try? await connection.channel.close()
  }

  /// Connections that are being served.
  var active: Int { serving.withLock { $0 } }

  /// What the handlers of all connections saw.
  var events: [Seen.Event] { seen.all }

  /// How an operation ended that has no way, or perhaps no dialer left, to say so.
  func verdict(of seed: UInt64) -> Verdict? { reports.withLock { $0[seed] } }

  private static func request(from wire: Wire) async throws -> Request? {
    guard var bytes = try await wire.receive(atMost: Request.length) else { return nil }
    var rest = try await wire.receive(exactly: Request.length - bytes.readableBytes)
    bytes.writeBuffer(&rest)
    return try Request(decoding: bytes)
  }

  private func answer(_ request: Request, _ wire: Wire) async throws {
    let size = request.size
    switch request.operation {
    case .exchange:
      let verdict = await Self.verdictOfAction {
        try await wire.receive(request.dialersBytes, size)
      }
      try await wire.send(verdict.encoded)
      try await wire.send(request.listenersBytes, size)
    case .both:
      async let sent: Void = wire.send(request.listenersBytes, size)
      let verdict = await Self.verdictOfAction {
        try await wire.receive(request.dialersBytes, size)
      }
      try await sent
      try await wire.send(verdict.encoded)
    case .readToEnd:
      let verdict = await Self.verdict { try await wire.receiveToEnd(request.dialersBytes) }
      reports.withLock { $0[request.seed] = verdict }
      try await wire.send(verdict.encoded)
      try await wire.send(request.listenersBytes, size)
      try await wire.close()
    case .endFirst:
      try await wire.send(request.listenersBytes, size)
      try await wire.closeOutput()
      let verdict = await Self.verdict { try await wire.receiveToEnd(request.dialersBytes) }
      reports.withLock { $0[request.seed] = verdict }
    case .close:
      try await wire.send(request.listenersBytes, size)
      try await wire.close()
    case .abandon:
      try await wire.receive(request.dialersBytes, size)
      try await wire.close()
    case .readSlowly: try await wire.receiveSlowly(request.dialersBytes, size)
    case .flood:
      let most = try await wire.flood(request.listenersBytes, size)
      try await wire.send(Verdict(most).encoded)
    case .identify:
      let peer = wire.connection.peer
      let complaint = identifiesDialer(peer) ? nil : "the dialer was identified as \(peer)"
      try await wire.send(Verdict(complaint: complaint).encoded)
    case .report: try await wire.send(await report(request.seed).encoded)
    }
  }

  /// The verdict of an operation on another connection, which may still be on its way.
  private func report(_ seed: UInt64) async throws -> Verdict {
    for _ in 0..<2000 {
      if let verdict = reports.withLock({ $0.removeValue(forKey: seed) }) { return verdict }
      try await Task.sleep(for: .milliseconds(10))
    }
    return Verdict(complaint: "the operation did not end")
  }

  private static func verdict(_ body: () async throws -> Int) async -> Verdict {
    do {
      return Verdict(try await body())
    } catch {
      return Verdict(complaint: "\(error)")
    }
  }

  private static func verdictOfAction(_ body: () async throws -> Void) async -> Verdict {
    await verdict { () async throws -> Int in
      try await body()
      return 0
    }
  }
}
