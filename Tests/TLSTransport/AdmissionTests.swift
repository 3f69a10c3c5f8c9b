import NIOCore
import Synchronization
import TLSTransport
import Testing
import TransportCore
import UnixTransport

/// The handshake's end, the policy's decision and the protocol's beginning are one event.
@Suite struct AdmissionTests {
  @Test(
    "What a client sends and ends at once arrives whole",
    arguments: TLSIdentity.Version.allCases)
  func clientIsBrief(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    let (arrivals, sink) = AsyncStream<Int>.makeStream()
    try await withServer(
      pki, pki.server { $0.maximumVersion = version },
      handlers: { [TotalHandler { sink.yield($0) }] }
    ) { _ in
      var iterator = arrivals.makeAsyncIterator()
      for count in [1, 40_000, 1, 40_000] {
        let connection = try await connect(pki, pki.client())
        let channel = connection.connection.channel
        channel.writeAndFlush(ByteBuffer(repeating: 1, count: count), promise: nil)
        try await channel.close(mode: .output).get()
        #expect(await iterator.next() == count)
        await connection.close()
      }
    }
  }

  @Test(
    "What a server says and ends at once arrives whole", arguments: TLSIdentity.Version.allCases)
  func serverIsBrief(_ version: TLSIdentity.Version) async throws {
    let pki = try TestPKI()
    try await withServer(
      pki, pki.server { $0.maximumVersion = version },
      serve: { _ in }, handlers: { [GreetingHandler()] }
    ) { _ in
      for _ in 0..<20 {
        let connection = try await connect(pki, pki.client())
        let text = String(decoding: await connection.read(100), as: UTF8.self)
        #expect(text == "hello")
        await connection.close()
      }
    }
  }

  @Test(
    "A client that the policy refuses has not reached the protocol, and its end is no clean one",
    arguments: TLSIdentity.Version.allCases, [true, false])
  func refused(_ version: TLSIdentity.Version, hasCertificate: Bool) async throws {
    let pki = try TestPKI()
    let policy = PeerPolicy(name: "nobody") { $0.tls == nil }
    let reached = Mutex(0)
    try await withServer(
      pki,
      pki.server {
        $0.maximumVersion = version
        $0.clientCertificates = .optional
      },
      policy: policy,
      handlers: { [TotalHandler { _ in reached.withLock { $0 += 1 } }] }
    ) { listener in
      let error = try await refusal {
        let connection = try await connect(
          pki,
          pki.client {
            if !hasCertificate { ($0.certificate, $0.key) = (nil, nil) }
          })
        // It may be gone already.
        try? await connection.write([1, 2, 3])
        return connection
      }
      if hasCertificate {
        #expect(error.code == .refusedByPeer)
        #expect(error.alert == 42)
      } else {
        #expect(error.code == .truncated || error.code == .refusedByPeer)
      }
      try await eventually("it is counted") { listener.statistics.refused == 1 }
      #expect(listener.statistics.accepted == 0)
    }
    #expect(reached.withLock { $0 } == 0)
  }

  @Test("A client's connect takes no longer where there are no tickets")
  func withoutTickets() async throws {
    let pki = try TestPKI()
    try await withServer(pki, pki.server { $0.resumesSessions = false }) { _ in
      let connection = try await connect(pki, pki.client())
      #expect(try await connection.echo("hello") == "hello")
      #expect(connection.tls?.version == .tls13)
      await connection.close()
    }
  }

  @Test("A policy is asked of whom the transport beneath names, not of its socket's peer")
  func renamed() async throws {
    let pki = try TestPKI()
    let connector = TLSLayer(pki.client()).connector(over: Renaming())
    try await withServer(pki, pki.server()) { _ in
      var options = ConnectOptions(timeout: .seconds(30), tryLimit: .seconds(30))
      options.policy = PeerPolicy(name: "a process") { $0.unix != nil }
      let error = await #expect(throws: TransportError.self) {
        try await connector.connect(to: pki.address(), options: options) { _ in }
      }
      #expect(error?.code == .refusedByPolicy)
      options.policy = PeerPolicy(name: "no process") { $0.unix == nil || $0.tls != nil }
      let connection = try await connector.connect(to: pki.address(), options: options) { _ in }
      #expect(connection.peer.unix == nil && connection.peer.tls != nil)
      try await connection.channel.close()
    }
  }
}

/// A transport over unix sockets whose peers are not the processes at their other ends.
private struct Renaming: Connector {
  let transport = "unix"

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let connection = try await UnixConnector().attempt(
      address, options: options, configure: configure)
    return Connection(
      channel: connection.channel, address: address, peer: PeerIdentity(),
      timings: connection.timings)
  }
}

/// Says how many bytes there were when the peer has ended.
private final class TotalHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let tell: (Int) -> Void
  private var count = 0

  init(_ tell: @escaping (Int) -> Void) { self.tell = tell }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    count += unwrapInboundIn(data).readableBytes
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard case ChannelEvent.inputClosed? = event as? ChannelEvent else { return }
    tell(count)
    context.close(promise: nil)
  }
}

/// Says hello and goodbye.
private final class GreetingHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  func channelActive(context: ChannelHandlerContext) {
    context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "hello")), promise: nil)
    context.close(promise: nil)
  }
}
