import FileDescriptorTransport
import Glibc
import NIOCore
import Testing
import TransportCore

@Suite struct DescriptorListenerTests {
  /// One of a test's own: numbers come again and again in one process.
  private let ledger = DescriptorLedger()

  private func listen(
    _ number: Int32, _ options: ListenOptions = ListenOptions()
  ) async throws -> any Listener {
    try await FileDescriptorListenerFactory(ledger: ledger)
      .listen(at: .descriptor(number), options: options)
  }

  /// Takes one connection, says hello on it, and returns who came.
  private func greet(
    _ listener: any Listener, policy: PeerPolicy? = nil,
    _ client: @escaping @Sendable () async throws -> Void
  ) async throws -> [PeerIdentity] {
    let (peers, continuation) = AsyncStream<PeerIdentity>.makeStream()
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run(policy: policy) { _ in
        } onConnection: { connection in
          continuation.yield(connection.peer)
          // A client that is gone already is one that was not there.
          try? await connection.channel.writeAndFlush(ByteBuffer(string: "hello"))
        }
      }
      try await client()
      group.cancelAll()
      try await group.waitForAll()
      continuation.finish()
      var all: [PeerIdentity] = []
      for await peer in peers { all.append(peer) }
      return all
    }
  }

  @Test("A unix socket that listens takes the same user's connections, whose process it knows")
  func unix() async throws {
    let (descriptor, address, size) = try Made.unixListener()
    let listener = try await listen(descriptor)
    guard case .abstract(let name) = listener.boundAddress.place else {
      Issue.record("\(listener.boundAddress)")
      return
    }
    // What the kernel chose: five hexadecimal digits.
    #expect(name.utf8.count == 5)
    #expect(fcntl(descriptor, F_GETFD) & FD_CLOEXEC != 0)
    let peers = try await greet(listener) {
      let client = try Made.unixConnection(to: address, size)
      defer { close(client) }
      #expect(try await readText(client, 5) == "hello")
    }
    #expect(peers.map(\.unix) == [.init(pid: getpid(), uid: geteuid(), gid: getegid())])
    #expect(listener.statistics.accepted == 1)
  }

  @Test("A TCP socket that listens on loopback takes connections, whose address it knows")
  func tcp() async throws {
    let (descriptor, address) = try Made.tcpListener(INADDR_LOOPBACK)
    let listener = try await listen(descriptor)
    let port = UInt16(bigEndian: address.sin_port)
    #expect(listener.boundAddress.place == .tcp(host: "127.0.0.1", port: port))
    let peers = try await greet(listener) {
      let client = try Made.tcpConnection(to: address)
      defer { close(client) }
      #expect(try await readText(client, 5) == "hello")
    }
    #expect(peers.first?.network?.isLoopback == true)
    #expect(peers.first?.network?.host == "127.0.0.1")
  }

  @Test("A policy of the caller's goes before the family's own")
  func policy() async throws {
    let (descriptor, address, size) = try Made.unixListener()
    let listener = try await listen(descriptor)
    let peers = try await greet(listener, policy: .users([geteuid() + 1])) {
      let client = try Made.unixConnection(to: address, size)
      defer { close(client) }
      #expect(try await readText(client, 1) == "")
    }
    #expect(peers.isEmpty)
    #expect(listener.statistics.refused == 1)
  }

  @Test("Where others than this machine's can connect, plaintext has to be allowed")
  func plaintext() async throws {
    let (descriptor, _) = try Made.tcpListener(INADDR_ANY)
    let error = await #expect(throws: TransportError.self) { _ = try await listen(descriptor) }
    #expect(error?.code == .listenFailed)
    #expect(error?.hint?.contains("tls") == true)
    // It was left as it is, and can be adopted with another mind.
    let listener = try await listen(descriptor, ListenOptions(plaintext: .anywhere))
    listener.close()
    #expect(fcntl(descriptor, F_GETFD) < 0)
  }

  @Test("A listening descriptor is adopted once, and closed with its listener")
  func once() async throws {
    let (descriptor, _, _) = try Made.unixListener()
    let listener = try await listen(descriptor)
    let error = await #expect(throws: TransportError.self) { _ = try await listen(descriptor) }
    #expect(error?.message.contains("it can be adopted once") == true)
    listener.close()
    let again = await #expect(throws: TransportError.self) { _ = try await listen(descriptor) }
    #expect(again?.message.contains("it can be adopted once") == true)
  }

  @Test("What does not listen is left as it is, and named")
  func wrong() async throws {
    let (end, other) = try Made.pair()
    let bound = try Made.socket(AF_INET)
    defer { for descriptor in [end, other, bound] { close(descriptor) } }
    for number in [end, bound] {
      let error = await #expect(throws: TransportError.self) { _ = try await listen(number) }
      #expect(error?.code == .listenFailed)
      #expect(error?.message.contains("does not listen") == true)
    }
    let error = await #expect(throws: TransportError.self) { _ = try await listen(1_000_000) }
    #expect(error?.message.contains("is not open") == true)
  }
}
