import Glibc
import MemoryTransport
import NIOCore
import Testing
import TransportCore

@Suite struct MemoryConnectionTests {
  private let address = TransportAddress(place: .memory(name: "there"))

  @Test("A connection carries bytes both ways, and each end knows that this process is the other")
  func bothWays() async throws {
    try await withPair { pair in
      for end in [pair.dialer, pair.acceptor] {
        #expect(end.connection.peer.isThisProcess)
        #expect(end.connection.peer.unix?.pid == getpid())
        #expect(end.connection.address == TransportAddress(place: .memory(name: "pair")))
      }
      #expect(pair.dialer.connection.timings.map(\.phase) == [.connect, .identity])
      let sent = bytes(1 << 20)
      async let written: Void = pair.dialer.send(sent)
      #expect(Array(await pair.acceptor.pieces(sent.count).joined()) == sent)
      try await written
      try await pair.acceptor.send([1])
      #expect(await pair.dialer.pieces(1) == [[1]])
    }
  }

  @Test("Each direction ends by itself")
  func halfClose() async throws {
    try await withPair { pair in
      try await pair.dialer.channel.close(mode: .output)
      #expect(await pair.acceptor.allBytes() == [])
      try await pair.acceptor.send([7])
      try await pair.acceptor.channel.close(mode: .output)
      #expect(await pair.dialer.allBytes() == [7])
    }
  }

  @Test("Where nobody listens, a dialer is told that nobody is there yet")
  func refused() async throws {
    let error = await #expect(throws: TransportError.self) {
      _ = try await MemoryConnector(network: MemoryNetwork())
        .connect(to: address, options: .patient()) { _ in }
    }
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.errno == ECONNREFUSED)
    #expect(error?.attempts.first?.failure.outlook == .notReady)
  }

  @Test("A name has one listener at a time, and only in its network")
  func names() async throws {
    let network = MemoryNetwork()
    let factory = MemoryListenerFactory(network: network)
    let first = try await factory.listen(at: address, options: ListenOptions())
    #expect(network.names == ["there"])
    let error = await #expect(throws: TransportError.self) {
      _ = try await factory.listen(at: address, options: ListenOptions())
    }
    #expect(error?.code == .listenFailed)
    let other = try await MemoryListenerFactory(network: MemoryNetwork())
      .listen(at: address, options: ListenOptions())
    other.close()
    first.close()
    #expect(network.names.isEmpty)
    try await factory.listen(at: address, options: ListenOptions()).close()
  }

  @Test("A dialer waits for a listener that comes later")
  func waits() async throws {
    let network = MemoryNetwork()
    let address = address
    let dialing = Task {
      try await MemoryConnector(network: network)
        .connect(to: address, options: .patient(mode: .waitUntilReady())) { _ in }
    }
    await Task.yield()
    let listener = try await MemoryListenerFactory(network: network)
      .listen(at: address, options: ListenOptions())
    try await dialing.value.channel.close()
    listener.close()
  }

  @Test("A connect that is never answered ends when its time is up or it is cancelled")
  func neverAnswers() async throws {
    let mute = try TransportAddress(parsing: "memory://there?never_answers=true")
    let late = await #expect(throws: TransportError.self) {
      _ = try await MemoryConnector()
        .connect(to: mute, options: ConnectOptions(timeout: .milliseconds(20))) { _ in }
    }
    #expect(late?.code == .timedOut)
    #expect(late?.attempts.first?.failure.errno == ETIMEDOUT)
    let dialing = Task {
      try await MemoryConnector().connect(to: mute, options: .patient()) { _ in }
    }
    dialing.cancel()
    let cancelled = await #expect(throws: TransportError.self) { _ = try await dialing.value }
    #expect(cancelled?.code == .cancelled)
  }

  @Test("Either end's policy keeps a peer out")
  func policies() async throws {
    let network = MemoryNetwork()
    let nobody = PeerPolicy(name: "nobody") { _ in false }
    let listener = try await MemoryListenerFactory(network: network)
      .listen(at: address, options: ListenOptions())
    let error = await #expect(throws: TransportError.self) {
      _ = try await MemoryConnector(network: network)
        .connect(to: address, options: .patient(policy: nobody)) { _ in }
    }
    #expect(error?.code == .refusedByPolicy)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run(policy: nobody) { _ in
        } onConnection: { _ in
        }
      }
      let connection = try await MemoryConnector(network: network)
        .connect(to: address, options: .patient()) { _ in }
      try await connection.channel.closeFuture.get()
      group.cancelAll()
      try await group.waitForAll()
    }
    #expect(listener.statistics.refused == 2)
    #expect(listener.statistics.accepted == 0)
  }

  @Test("A listener that does not accept keeps dialers waiting when its backlog is full")
  func backlog() async throws {
    let network = MemoryNetwork()
    let address = address
    let listener = try await MemoryListenerFactory(network: network)
      .listen(at: address, options: ListenOptions(backlog: 0))
    let first = try await MemoryConnector(network: network).connect(to: address) { _ in }
    let error = await #expect(throws: TransportError.self) {
      _ = try await MemoryConnector(network: network)
        .connect(to: address, options: ConnectOptions(timeout: .milliseconds(50))) { _ in }
    }
    #expect(error?.code == .timedOut)
    listener.close()
    try await first.channel.closeFuture.get()
  }
}
