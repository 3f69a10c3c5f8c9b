import Glibc
import LinuxSystem
import NIOCore
import TLSTransport
import Testing
import TransportCore
import UnixTransport

@Suite struct MutePeerTests {
  /// A listener that accepts, and says what it is told or nothing.
  private func withPlainServer(
    _ pki: TestPKI, _ text: String = "", closes: Bool = false, _ body: () async throws -> Void
  ) async throws {
    let listener = try UnixListener(
      bindingTo: pki.address().inner, options: .init(replacing: true))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run { _ in
        } onConnection: { connection in
          // The client may be gone already.
          try? await connection.channel.writeAndFlush(ByteBuffer(string: text)).get()
          if !closes { await connection.closed() }
        }
      }
      try await body()
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test("A server that never answers is given up when the try's time is up, and may yet come")
  func mute() async throws {
    let pki = try TestPKI()
    try await withPlainServer(pki) {
      let options = ConnectOptions(timeout: .seconds(60), tryLimit: .seconds(3))
      let error = await #expect(throws: TransportError.self) {
        try await connect(pki, pki.client(), options: options)
      }
      let failure = try #require(error?.attempts.first?.failure)
      #expect(failure.phase == .tls)
      #expect(failure.outlook == .notReady)
    }
  }

  @Test("A server that hangs up in the handshake may yet come")
  func hangsUp() async throws {
    let pki = try TestPKI()
    try await withPlainServer(pki, closes: true) {
      let error = await #expect(throws: TransportError.self) {
        try await connect(pki, pki.client())
      }
      let failure = try #require(error?.attempts.first?.failure)
      #expect(failure.phase == .tls)
      #expect(failure.outlook == .notReady)
    }
  }

  @Test("A server that does not speak TLS is not tried again")
  func notTLS() async throws {
    let pki = try TestPKI()
    try await withPlainServer(pki, "HTTP/1.1 400 Bad Request\r\n\r\n") {
      let error = try await refusal { try await connect(pki, pki.client()) }
      #expect(error.code == .protocolViolated)
      #expect(error.message.contains("is not TLS"))
    }
  }

  @Test("A listener gives a mute client up after its handshake limit, and one that speaks no TLS")
  func muteClient() async throws {
    let pki = try TestPKI()
    let options = ListenOptions(handshakeLimit: .seconds(2))
    try await withServer(pki, pki.server(), options: options) { listener in
      for text in ["", "GET / HTTP/1.1\r\n\r\n"] {
        let connection = try await UnixConnector().connect(to: pki.address().inner) { _ in }
        // The listener may be faster in hanging up.
        try? await connection.channel.writeAndFlush(ByteBuffer(string: text)).get()
        await connection.closed()
      }
      try await eventually("both are counted") { listener.statistics.failed == 2 }
      // And others are served meanwhile; on a machine that is busy at the second try.
      let patient = ConnectOptions(
        timeout: .seconds(60), tryLimit: .seconds(30), mode: .waitUntilReady())
      let connection = try await connect(pki, pki.client(), options: patient)
      #expect(connection.tls?.isVerified == true)
      await connection.close()
    }
  }

  @Test("A connect that is cancelled in the handshake ends at once, with its descriptor closed")
  func cancelled() async throws {
    let pki = try TestPKI()
    try await withPlainServer(pki) {
      for _ in 0..<20 {
        let task = Task { try await connect(pki, pki.client()) }
        try await Task.sleep(for: .milliseconds(2))
        task.cancel()
        let error = await #expect(throws: TransportError.self) { try await task.value }
        #expect(error?.code == .cancelled)
      }
      try await eventually("no socket to the server is left") {
        try sockets(to: pki.path("x.sock")) <= 1
      }
    }
    try await eventually("no socket is left") { try sockets(to: pki.path("x.sock")) == 0 }
  }

  /// How many sockets of the machine have this path: the listener and what it accepted.
  private func sockets(to path: String) throws -> Int {
    let file = try OwnedDescriptor(opening: "/proc/net/unix", O_RDONLY)
    let text = String(decoding: try file.read(atMost: 16 << 20), as: UTF8.self)
    return text.split(separator: "\n").filter { $0.hasSuffix(" " + path) }.count
  }
}
