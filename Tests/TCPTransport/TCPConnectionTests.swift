import Glibc
import NIOCore
import NIOPosix
import Synchronization
import TCPTransport
import Testing
import TransportCore

@Suite struct TCPConnectionTests {
  @Test(
    "A connection carries bytes both ways, and both sides know the other's address",
    arguments: ["127.0.0.1", "::1", "localhost"])
  func bothWays(host: String) async throws {
    let listener = try await listen(tcp(host))
    let port = listener.boundAddress.port
    #expect(port != 0)
    let peers = Mutex<[PeerIdentity]>([])
    let connection = try await withEchoServer(listener) { peer in
      peers.withLock { $0.append(peer) }
    } _: {
      try await exchange(tcp(host, port))
    }
    #expect(connection.address == tcp(host, port))
    #expect(connection.peer.network?.port == port)
    #expect(connection.peer.network?.isLoopback == true)
    let phases: [ConnectPhase] =
      host == "localhost" ? [.resolve, .connect, .identity] : [.connect, .identity]
    #expect(connection.timings.map(\.phase) == phases)
    #expect(listener.statistics.accepted == 1)
    let peer = peers.withLock { $0.first?.network }
    #expect(peer?.host == connection.peer.network?.host)
    #expect(peer?.isLoopback == true)
  }

  @Test("The address of every interface takes IPv4 and IPv6, which tell their own address")
  func dualStack() async throws {
    let listener = try await listen(tcp("::"), ListenOptions(plaintext: .secured))
    let port = listener.boundAddress.port
    let hosts = Mutex<[String?]>([])
    try await withEchoServer(listener) { peer in
      hosts.withLock { $0.append(peer.network?.host) }
    } _: {
      try await exchange(tcp("127.0.0.1", port))
      try await exchange(tcp("::1", port))
    }
    #expect(hosts.withLock { $0 } == ["127.0.0.1", "::1"])
  }

  @Test("A policy decides on both sides, before a byte")
  func policy() async throws {
    let nobody = PeerPolicy(name: "nobody") { _ in false }
    let listener = try await listen()
    let address = listener.boundAddress
    try await withEchoServer(listener, policy: nobody) {
      let error = await failure(address, .patient(policy: nobody))
      #expect(error?.code == .refusedByPolicy)
      let connection = try await TCPConnector().connect(to: address, options: .patient()) { _ in }
      try await connection.channel.closeFuture.get()
      try await eventually("both are refused, or gone") {
        listener.statistics.refused + listener.statistics.failed == 2
      }
    }
    #expect(listener.statistics.accepted == 0)
  }

  private func option(
    _ channel: any Channel, _ level: CInt, _ name: CInt
  ) async throws -> CInt {
    let socket = try #require(channel as? any SocketOptionProvider)
    return try await socket.unsafeGetSocketOption(
      level: NIOBSDSocket.OptionLevel(rawValue: level), name: NIOBSDSocket.Option(rawValue: name)
    ).get()
  }

  @Test("Both sides send small writes at once and probe silent peers", arguments: [true, false])
  func settings(keepsAlive: Bool) async throws {
    let settings =
      keepsAlive
      ? TCPSettings(userTimeout: .seconds(90)) : TCPSettings(keepalive: nil, userTimeout: nil)
    let factory = TCPListenerFactory(settings: settings)
    let listener = try await listen(tcp("127.0.0.1"), ListenOptions(), factory)
    let (channels, arrived) = AsyncStream<any Channel>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run {
          arrived.yield($0)
        } onConnection: {
          try? await $0.channel.closeFuture.get()
        }
      }
      let connection = try await TCPConnector(settings: settings).connect(
        to: listener.boundAddress, options: .patient()
      ) { arrived.yield($0) }
      var iterator = channels.makeAsyncIterator()
      for _ in 0..<2 {
        let channel = try #require(await iterator.next())
        let tcp = CInt(IPPROTO_TCP)
        #expect(try await option(channel, tcp, TCP_NODELAY) == 1)
        #expect(try await option(channel, SOL_SOCKET, SO_KEEPALIVE) == (keepsAlive ? 1 : 0))
        guard keepsAlive else { continue }
        #expect(try await option(channel, tcp, TCP_KEEPIDLE) == 30)
        #expect(try await option(channel, tcp, TCP_KEEPINTVL) == 10)
        #expect(try await option(channel, tcp, TCP_KEEPCNT) == 3)
        #expect(try await option(channel, tcp, TCP_USER_TIMEOUT) == 90_000)
      }
      try await connection.channel.close()
      group.cancelAll()
      try await group.waitForAll()
    }
  }
}
