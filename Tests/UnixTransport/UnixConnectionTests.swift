import Glibc
import NIOCore
import Testing
import TransportCore
import UnixTransport

@Suite struct UnixConnectionTests {
  enum Kind: CaseIterable { case path, abstract, longPath }

  /// The directory must live as long as the test.
  private func address(_ kind: Kind) throws -> (TransportAddress, TemporaryDirectory) {
    let directory = try TemporaryDirectory()
    switch kind {
    case .path: return (directory.address("x.sock"), directory)
    case .abstract: return (uniqueAbstract(), directory)
    case .longPath:
      let part = String(repeating: "p", count: 120)
      return (directory.address("\(part)/\(part)/\(part).sock"), directory)
    }
  }

  @Test("A connection carries bytes both ways and knows its peer", arguments: Kind.allCases)
  func bothWays(kind: Kind) async throws {
    let (address, directory) = try address(kind)
    defer { withExtendedLifetime(directory) {} }
    let listener = try UnixListener(bindingTo: address)
    #expect(listener.boundAddress == address)
    try await withEchoServer(listener, greeting: "hello ") {
      var client = try await TextConnection.connect(to: address)
      #expect(client.connection.address == address)
      #expect(client.connection.peer.unix == .init(pid: getpid(), uid: geteuid(), gid: getegid()))
      #expect(client.connection.timings.map(\.phase) == [.connect, .identity])
      try await client.send("world")
      #expect(await client.read(11) == "hello world")
      try await client.close()
    }
    #expect(listener.statistics.accepted == 1)
  }

  @Test("The server knows who connected before a byte is read")
  func serverSide() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    let (peers, arrived) = AsyncStream<PeerIdentity>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run { _ in
        } onConnection: { connection in
          arrived.yield(connection.peer)
        }
      }
      let client = try await TextConnection.connect(to: address)
      for await peer in peers {
        #expect(peer.unix == .init(pid: getpid(), uid: geteuid(), gid: getegid()))
        break
      }
      // The server's task for the connection has returned, which closes it.
      try await client.connection.channel.closeFuture.get()
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test("A foreign program finds our abstract name, which has no padding")
  func foreignClient() async throws {
    let address = uniqueAbstract()
    guard case .abstract(let name) = address.place else { return }
    let listener = try UnixListener(bindingTo: address)
    try await withEchoServer(listener) {
      let peer = try PythonPeer(
        """
        import socket, sys
        s = socket.socket(socket.AF_UNIX)
        s.connect("\\0" + sys.argv[1])
        s.sendall(b"ping")
        print(s.recv(4).decode(), flush=True)
        """, name)
      #expect(try await peer.readLine() == "ping")
    }
  }

  @Test("We find a foreign program's abstract name, and its peer")
  func foreignServer() async throws {
    let address = uniqueAbstract()
    guard case .abstract(let name) = address.place else { return }
    let peer = try PythonPeer(
      """
      import os, socket, sys
      s = socket.socket(socket.AF_UNIX)
      s.bind("\\0" + sys.argv[1])
      s.listen()
      print(os.getpid(), flush=True)
      c, _ = s.accept()
      c.sendall(c.recv(4))
      c.recv(1)
      """, name)
    let pid = Int32(try await peer.readLine())
    var client = try await TextConnection.connect(to: address)
    #expect(client.connection.peer.unix?.pid == pid)
    try await client.send("ping")
    #expect(await client.read(4) == "ping")
    try await client.close()
  }

  @Test("A server that speaks first is heard from its first byte on", arguments: 0..<20)
  func serverFirst(round: Int) async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    try await withEchoServer(listener, greeting: "first") {
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(5) == "first")
      try await client.close()
    }
  }

  @Test("The dialer refuses a peer that its policy does not allow")
  func dialerPolicy() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    let error = await #expect(throws: TransportError.self) {
      _ = try await TextConnection.connect(
        to: address, .patient(mode: .waitUntilReady(), policy: .users([geteuid() + 1])))
    }
    #expect(error?.code == .refusedByPolicy)
    #expect(error?.description.contains("uid \(geteuid())") == true)
    listener.close()
  }

  @Test("The listener closes a peer that its policy does not allow, and goes on")
  func listenerPolicy() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    let nobody = PeerPolicy(name: "nobody") { _ in false }
    try await withEchoServer(listener, policy: nobody, greeting: "secret") {
      for _ in 0..<3 {
        var client = try await TextConnection.connect(to: address)
        #expect(await client.read(6) == "")
        try await client.connection.channel.closeFuture.get()
      }
    }
    #expect(listener.statistics.refused == 3)
    #expect(listener.statistics.accepted == 0)
  }

  @Test("A connection that cannot be set up is counted, and closes its descriptor")
  func failingConfigure() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run { _ in
          throw Failure(what: "no")
        } onConnection: { _ in
        }
      }
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(1) == "")
      try await eventually("the failure is counted") { listener.statistics.failed == 1 }
      group.cancelAll()
      try await group.waitForAll()
    }

    let other = uniqueAbstract()
    let waiting = try UnixListener(bindingTo: other)
    let error = await #expect(throws: TransportError.self) {
      _ = try await UnixConnector().connect(to: other) { _ in throw Failure(what: "no") }
    }
    #expect(error?.code == .connectFailed)
    waiting.close()
  }
}
