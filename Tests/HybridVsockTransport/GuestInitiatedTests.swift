import CLinux
import Glibc
import HybridVsockTransport
import LinuxSystem
import NIOCore
import Testing
import TransportCore

/// The VMM's side of a connection that the guest makes: a connect to `<path>_<port>`, and then what
/// the guest says.
final class DiallingGuest: Sendable {
  let descriptor: CInt

  /// nil when nobody listens: the VMM resets the guest's connection.
  init?(_ directory: TemporaryDirectory, port: UInt32 = 5000) {
    let path = "\(directory.socket)_\(port)"
    descriptor = clinux_unix_socket()
    guard clinux_unix_connect(descriptor, path, path.utf8.count, false) == 0 else {
      close(descriptor)
      return nil
    }
  }

  deinit { close(descriptor) }

  func say(_ text: String) {
    let bytes = Array(text.utf8)
    _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }

  /// What there is to read; nil when nothing has come yet, "" at the end.
  func hear() -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let got = recv(descriptor, &bytes, bytes.count, 0)
    if got < 0 { return errno == EAGAIN ? nil : "" }
    return String(decoding: bytes.prefix(got), as: UTF8.self)
  }

  func isClosed() async throws {
    try await eventually("the guest is told the end") { hear() == "" }
  }
}

@Suite struct GuestInitiatedTests {
  private func listen(
    _ directory: TemporaryDirectory, factory: HybridVsockListenerFactory = .init(),
    vmm: String? = nil
  ) async throws -> any Listener {
    try await factory.listen(at: directory.address(5000, vmm: vmm), options: ListenOptions())
  }

  /// Answers what comes, with who said it.
  private func serve(_ listener: any Listener, policy: PeerPolicy? = nil) async throws {
    try await listener.run(policy: policy) { _ in
    } onConnection: { connection in
      let peer = connection.peer
      let text =
        "\(connection.address) \(peer.monitor?.process.pid ?? 0) "
        + "\(peer.monitor?.assignedPort ?? 0) \(peer.unix == nil) \(connection.carriesHalfClose)"
      // A guest that has gone already is none to tell.
      try? await connection.channel.writeAndFlush(ByteBuffer(string: text))
    }
  }

  @Test(
    "A guest reaches the socket of its port, which says nothing first", arguments: [true, false])
  func listens(isCloudHypervisor: Bool) async throws {
    let directory = try TemporaryDirectory()
    // Without a listener the guest's connection is reset: there is no socket.
    #expect(DiallingGuest(directory) == nil)
    let vmm = isCloudHypervisor ? "cloud-hypervisor" : nil
    let listener = try await listen(directory, vmm: vmm)
    var status = stat()
    #expect(lstat(directory.socket + "_5000", &status) == 0)
    #expect(status.st_mode == S_IFSOCK | 0o600)
    let address = directory.address(5000, vmm: vmm)
    #expect(listener.boundAddress == address)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await self.serve(listener) }
      let guest = try #require(DiallingGuest(directory))
      var heard = ""
      try await eventually("the answer is there") {
        if let more = guest.hear() { heard += more }
        return heard.hasSuffix("e")
      }
      #expect(heard == "\(address) \(getpid()) 0 true \(isCloudHypervisor)")
      group.cancelAll()
      try await group.waitForAll()
    }
    #expect(lstat(directory.socket + "_5000", &status) != 0)
    #expect(DiallingGuest(directory) == nil)
  }

  @Test("A VMM that the policy refuses is closed, and counted")
  func refused() async throws {
    let directory = try TemporaryDirectory()
    let listener = try await listen(directory)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await self.serve(
          listener, policy: PeerPolicy(name: "nobody") { $0.monitor?.process.pid != getpid() })
      }
      let guest = try #require(DiallingGuest(directory))
      try await guest.isClosed()
      #expect(listener.statistics.refused == 1)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test("What cannot be listened at is an error")
  func errors() async throws {
    let directory = try TemporaryDirectory()
    let listener = try await listen(directory)
    defer { listener.close() }
    await #expect(throws: TransportError.self) { try await listen(directory) }
    await #expect(throws: TransportError.self) { try await listen(directory, vmm: "qemu") }
    await #expect(throws: TransportError.self) {
      try await HybridVsockListenerFactory().listen(
        at: TransportAddress(place: .unix(path: directory.socket)), options: ListenOptions())
    }
  }

  // MARK: Readiness

  private func readiness(_ directory: TemporaryDirectory) async throws -> GuestReadiness {
    try await GuestReadiness(at: directory.address(5000))
  }

  private func isListening(_ directory: TemporaryDirectory) -> Bool {
    var status = stat()
    return lstat(directory.socket + "_5000", &status) == 0
  }

  @Test("The first guest that dials is handed out, with all it said, and nobody after it")
  func ready() async throws {
    let directory = try TemporaryDirectory()
    let readiness = try await readiness(directory)
    // It dials before anybody waits: the backlog keeps it.
    let guest = try #require(DiallingGuest(directory))
    guest.say("ready")
    let (texts, continuation) = AsyncStream<String>.makeStream()
    let connection = try await readiness.connection { channel in
      try channel.pipeline.syncOperations.addHandler(Incoming(continuation, greeting: "go"))
    }
    var client = TextConnection(connection, texts)
    #expect(await client.read(5) == "ready")
    #expect(connection.peer.monitor?.process.pid == getpid())
    #expect(connection.address == directory.address(5000))
    try await eventually("nobody listens any more") { !isListening(directory) }
    #expect(DiallingGuest(directory) == nil)
    var heard = ""
    try await eventually("it works in both directions") {
      heard += guest.hear() ?? ""
      return heard == "go"
    }
    await client.close()
    try await guest.isClosed()
    await #expect(throws: TransportError.self) { try await readiness.connection { _ in } }
  }

  @Test("A guest that does not dial in time is an error, and nothing is left")
  func timeout() async throws {
    let directory = try TemporaryDirectory()
    let readiness = try await readiness(directory)
    let error = await #expect(throws: TransportError.self) {
      try await readiness.connection(within: .milliseconds(10)) { _ in }
    }
    #expect(error?.code == .timedOut)
    #expect(error?.hint?.contains("CID 2") == true)
    #expect(!isListening(directory))
  }

  @Test("A guest that only a refused VMM serves is waited for in vain, and the error says so")
  func refusedGuest() async throws {
    let directory = try TemporaryDirectory()
    let readiness = try await readiness(directory)
    let guest = try #require(DiallingGuest(directory))
    let nobody = PeerPolicy(name: "nobody") { _ in false }
    let waiting = Task {
      try await readiness.connection(within: .seconds(2), policy: nobody) { _ in }
    }
    try await guest.isClosed()
    let error = await #expect(throws: TransportError.self) { try await waiting.value }
    #expect(error?.code == .timedOut)
    #expect(error?.description.contains("1 that did were refused") == true)
  }

  @Test("Waiting ends when it is cancelled, and nothing is left")
  func cancellation() async throws {
    let directory = try TemporaryDirectory()
    let readiness = try await readiness(directory)
    let waiting = Task { try await readiness.connection { _ in } }
    waiting.cancel()
    let error = await #expect(throws: TransportError.self) { try await waiting.value }
    #expect(error?.code == .cancelled)
    #expect(!isListening(directory))
  }

  @Test("Who never waits cleans up, too")
  func dropped() async throws {
    let directory = try TemporaryDirectory()
    do {
      let readiness = try await readiness(directory)
      withExtendedLifetime(readiness) { #expect(isListening(directory)) }
    }
    #expect(!isListening(directory))
  }
}
