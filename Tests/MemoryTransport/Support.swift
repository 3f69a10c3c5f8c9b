import Glibc
import MemoryTransport
import NIOCore
import NIOPosix
import Testing
import TransportCore

struct Failure: Error { var what: String }

/// What a connection brought, in order.
enum Arrival: Sendable, Equatable {
  case bytes([UInt8])
  case inputEnd
  case error(Int32)
}

/// Everything that a connection brings, as a stream.
final class Arrivals: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let arrivals: AsyncStream<Arrival>.Continuation

  init(_ arrivals: AsyncStream<Arrival>.Continuation) { self.arrivals = arrivals }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    arrivals.yield(.bytes(Array(unwrapInboundIn(data).readableBytesView)))
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event { arrivals.yield(.inputEnd) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    arrivals.yield(.error((error as? IOError)?.errnoCode ?? 0))
  }

  func channelInactive(context: ChannelHandlerContext) { arrivals.finish() }
}

/// A connected pair: each end's channel, and what it gets.
struct Pair: Sendable {
  struct End: Sendable {
    var connection: Connection
    var arrivals: AsyncStream<Arrival>

    var channel: any Channel { connection.channel }

    func send(_ bytes: [UInt8]) async throws {
      try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    /// All bytes until the connection is over, or its input is.
    func allBytes() async -> [UInt8] {
      var all: [UInt8] = []
      for await arrival in arrivals {
        if case .bytes(let bytes) = arrival { all += bytes }
        if arrival == .inputEnd { break }
      }
      return all
    }

    /// The next `count` bytes, in the pieces in which they came.
    func pieces(_ count: Int) async -> [[UInt8]] {
      var pieces: [[UInt8]] = []
      var left = count
      for await case .bytes(let bytes) in arrivals {
        pieces.append(bytes)
        left -= bytes.count
        if left <= 0 { break }
      }
      return pieces
    }
  }

  var dialer: End
  var acceptor: End
}

/// Runs `body` with a connected pair, and closes both ends behind it.
func withPair(
  _ text: String = "memory://pair", dialing: MemoryFaults = MemoryFaults(),
  accepting: MemoryFaults = MemoryFaults(), halfClosure: Bool = true,
  _ body: @escaping @Sendable (Pair) async throws -> Void
) async throws {
  let network = MemoryNetwork()
  let address = try TransportAddress(parsing: text)
  guard case .memory(let name) = address.place else { throw Failure(what: "\(text) is no memory") }
  let place = TransportAddress(place: .memory(name: name))
  let listener = try await MemoryListenerFactory(network: network, faults: accepting)
    .listen(at: place, options: ListenOptions())
  let (accepted, acceptor) = AsyncStream<Connection>.makeStream()
  let (acceptorArrivals, acceptorContinuation) = AsyncStream<Arrival>.makeStream()
  let (dialerArrivals, dialerContinuation) = AsyncStream<Arrival>.makeStream()
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask {
      try await listener.run { channel in
        try configure(channel, acceptorContinuation, halfClosure)
      } onConnection: { connection in
        acceptor.yield(connection)
        // However it ended, it ended.
        try? await connection.channel.closeFuture.get()
      }
    }
    let connection = try await MemoryConnector(network: network, faults: dialing)
      .connect(to: address, options: .patient()) { channel in
        try configure(channel, dialerContinuation, halfClosure)
      }
    for await other in accepted {
      try await body(
        Pair(
          dialer: .init(connection: connection, arrivals: dialerArrivals),
          acceptor: .init(connection: other, arrivals: acceptorArrivals)))
      break
    }
    // Closed already, in some tests.
    try? await connection.channel.close()
    group.cancelAll()
    try await group.waitForAll()
  }
  #expect(network.names.isEmpty)
}

private func configure(
  _ channel: any Channel, _ arrivals: AsyncStream<Arrival>.Continuation, _ halfClosure: Bool
) throws {
  try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: halfClosure)
  try channel.pipeline.syncOperations.addHandler(Arrivals(arrivals))
}

extension ConnectOptions {
  /// Limits that only a hang reaches, however busy the machine is.
  static func patient(mode: Mode = .failFast, policy: PeerPolicy? = nil) -> ConnectOptions {
    ConnectOptions(
      timeout: .seconds(600), tryLimit: .seconds(600), mode: mode, policy: policy)
  }
}

func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } }

/// Waits for a condition that another thread brings about; an upper bound against hangs.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let clock = ContinuousClock()
  let end = clock.now + .seconds(30)
  while try await !condition() {
    guard clock.now < end else { throw Failure(what: "not in time: \(what)") }
    try await clock.sleep(for: .milliseconds(5))
  }
}
