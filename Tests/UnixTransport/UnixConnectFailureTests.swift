import Glibc
import LinuxSystem
import NIOCore
import Testing
import TransportCore
import UnixTransport

@Suite struct UnixConnectFailureTests {
  private func failure(
    _ address: TransportAddress, _ options: ConnectOptions = .patient()
  ) async -> TransportError? {
    await #expect(throws: TransportError.self) {
      _ = try await UnixConnector().connect(to: address, options: options) { _ in }
    }
  }

  @Test("A path without a socket is not ready yet")
  func missing() async throws {
    let directory = try TemporaryDirectory()
    let error = await failure(directory.address("none"))
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.errno == ENOENT)
    #expect(error?.attempts.first?.failure.outlook == .notReady)
    let long = String(repeating: "x", count: 200)
    #expect(await failure(directory.address(long))?.attempts.first?.failure.errno == ENOENT)
  }

  @Test("An abstract name without a listener is not ready yet")
  func missingAbstract() async throws {
    let error = await failure(uniqueAbstract())
    #expect(error?.attempts.first?.failure.errno == ECONNREFUSED)
    #expect(error?.attempts.first?.failure.outlook == .notReady)
  }

  @Test("What is no socket says so, and is not waited for")
  func notASocket() async throws {
    let directory = try TemporaryDirectory()
    close(open(directory.path + "/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
    let waiting = ConnectOptions.patient(mode: .waitUntilReady())
    let error = await failure(directory.address("file"), waiting)
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.errno == ENOTSOCK)
    #expect(error?.description.contains("a regular file, not a socket") == true)
    let inFile = await failure(directory.address("file/x"), waiting)
    #expect(inFile?.attempts.first?.failure.errno == ENOTDIR)
  }

  @Test("A datagram socket says so, and is not waited for")
  func datagram() async throws {
    let directory = try TemporaryDirectory()
    let peer = try PythonPeer(
      """
      import socket, sys, time
      s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
      s.bind(sys.argv[1])
      print("ready", flush=True)
      time.sleep(3600)
      """, directory.path + "/d")
    _ = try await peer.readLine()
    let error = await failure(
      directory.address("d"), .patient(mode: .waitUntilReady()))
    #expect(error?.attempts.first?.failure.errno == EPROTOTYPE)
    #expect(error?.description.contains("datagram") == true)
  }

  @Test("An address of another transport, or put together wrongly, is refused")
  func wrongAddress() async {
    for place: TransportAddress.Place in [
      .vsock(cid: 3, port: 1), .unix(path: "relative"), .unix(path: "/a\0b"), .unix(path: ""),
      .abstract(name: ""), .abstract(name: String(repeating: "x", count: 108)),
    ] {
      let error = await failure(
        TransportAddress(place: place), .patient(mode: .waitUntilReady()))
      #expect(error?.code == .connectFailed)
      #expect(error?.attempts.first?.failure.outlook == .fatal)
    }
  }

  @Test("Waiting finds a listener that appears late")
  func lateListener() async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("late/x.sock")
    async let connection = TextConnection.connect(
      to: address, .patient(mode: .waitUntilReady()))
    try await Task.sleep(for: .milliseconds(50))
    let listener = try UnixListener(bindingTo: address)
    let client = try await connection
    try await client.close()
    listener.close()
  }

  // MARK: A full backlog

  /// Connects until the backlog has no room: connections in it need nobody to accept them.
  private func fill(_ address: TransportAddress) async throws -> [Connection] {
    var connections: [Connection] = []
    while connections.count < 16 {
      do {
        connections.append(
          try await UnixConnector().connect(
            to: address, options: .patient(tryLimit: .milliseconds(100))
          ) { _ in })
      } catch {
        #expect(error.attempts.first?.failure.errno == EAGAIN)
        #expect(error.attempts.first?.failure.outlook == .notReady)
        #expect(error.description.contains("backlog is full") == true)
        return connections
      }
    }
    throw Failure(what: "the backlog took \(connections.count) connections")
  }

  @Test(
    "A full backlog bounds the connect, which goes on when there is room", arguments: [true, false])
  func fullBacklog(abstract: Bool) async throws {
    let directory = try TemporaryDirectory()
    let address = abstract ? uniqueAbstract() : directory.address("x")
    let listener = try UnixListener(bindingTo: address, options: .init(backlog: 1))
    let connections = try await fill(address)
    let late = Task {
      try await TextConnection.connect(to: address, .patient())
    }
    try await withEchoServer(listener) {
      for connection in connections { try await connection.channel.close() }
      var client = try await late.value
      try await client.send("in")
      #expect(await client.read(2) == "in")
      try await client.close()
    }
  }

  @Test("A connect that waits for room in the backlog can be cancelled at once")
  func cancelFullBacklog() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address, options: .init(backlog: 1))
    let connections = try await fill(address)
    let forever = ConnectOptions(timeout: .seconds(3600), tryLimit: .seconds(3600))
    let task = Task {
      try await UnixConnector().connect(to: address, options: forever) { _ in }
    }
    try await Task.sleep(for: .milliseconds(30))
    task.cancel()
    let error = await #expect(throws: TransportError.self) { try await task.value }
    #expect(error?.code == .cancelled)
    for connection in connections { try await connection.channel.close() }
    listener.close()
  }

  // MARK: Descriptors

  private func openDescriptors() throws -> Int {
    try OwnedDescriptor(opening: "/proc/self/fd", O_RDONLY | O_DIRECTORY).names().count
  }

  @Test("A thousand connects, refusals and cancellations leave no descriptor behind")
  func noLeak() async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("x")
    let listener = try UnixListener(bindingTo: address)
    let before = try openDescriptors()
    try await withEchoServer(listener) {
      for round in 0..<1000 {
        // What each of them throws is other tests' matter: here it is what they leave.
        switch round % 4 {
        case 0: try await TextConnection.connect(to: address).close()
        case 1:
          let task = Task {
            try await UnixConnector().connect(to: address, options: .patient()) { _ in }
          }
          task.cancel()
          if let connection = try? await task.value { try await connection.channel.close() }
        case 2:
          let nobody = ConnectOptions.patient(policy: PeerPolicy(name: "nobody") { _ in false })
          _ = try? await UnixConnector().connect(to: address, options: nobody) { _ in }
        default:
          _ = try? await UnixConnector().connect(to: address, options: .patient()) { _ in
            throw Failure(what: "no")
          }
        }
      }
    }
    // Other tests run beside this one and have a few of their own.
    try await eventually("descriptors are closed") { try openDescriptors() < before + 100 }
  }
}
