import NIOCore
import NIOEmbedded
import RPCCore
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

@Suite struct PingProbeTests {
  private func verdict(_ pieces: [UInt8]...) -> String {
    var ping = TTRPCPing()
    var text = ""
    for piece in pieces {
      switch ping.receive(ByteBuffer(bytes: piece)) {
      case .answered: text += "a"
      case .incomplete: text += "i"
      case .failed(let failure): text += failure.outlook == .fatal ? "f" : "?"
      }
    }
    return text
  }

  /// A Response on stream 2 whose status has code 3.
  private static let answer: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 2, 2, 0, 0x0a, 2, 8, 3]

  @Test("An error on the ping's stream is an answer, in however many pieces")
  func answers() {
    #expect(verdict(Self.answer) == "a")
    #expect(verdict(Array(Self.answer.prefix(3)), Array(Self.answer.dropFirst(3))) == "ia")
    #expect(verdict(Array(Self.answer.dropLast()), [3]) == "ia")
  }

  @Test("What no ttrpc server answers is told at once and finally")
  func otherProtocols() {
    // TLS, HTTP/1 and SSH begin like this; HTTP/2 with a SETTINGS frame.
    #expect(verdict([0x15, 3, 3]) == "f")
    #expect(verdict(Array("HTTP/1.1".utf8)) == "f")
    #expect(verdict([0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3]) == "f")
    var other = Self.answer
    other[7] = 4
    #expect(verdict(other) == "f", "another stream")
    other = Self.answer
    other[8] = 1
    #expect(verdict(other) == "f", "a request")
    other = Self.answer
    other[13] = 0
    #expect(verdict(other) == "f", "success")
    #expect(verdict([0, 1, 0, 1, 0, 0, 0, 2, 2, 0]) == "f", "too long")
    #expect(verdict([0, 0, 0, 2, 0, 0, 0, 2, 2, 0, 0x0a, 9]) == "f", "nonsense")
  }

  private let address = TransportAddress(
    place: .abstract(name: "hawsepipe-ping-\(UInt64.random(in: 0 ... .max))"))

  private func waitUntilReady(_ mode: ConnectOptions.Mode) async throws(TransportError) -> Readiness
  {
    try await UnixConnector().waitUntilReady(
      at: address, probe: .ttrpcPing, options: ConnectOptions(timeout: .seconds(600), mode: mode))
  }

  @Test("Our server answers a ping as soon as it is there")
  func ourServer() async throws {
    let waiting = Task { try await waitUntilReady(.waitUntilReady()) }
    let listener = try UnixListener(bindingTo: address)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await TTRPCServer().run(on: listener) }
      let readiness = try await waiting.value
      #expect(readiness.attempts >= 1)
      #expect(readiness.timings.map(\.phase) == [.connect, .identity, .probe])
      #expect(readiness.peer.unix != nil)
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  @Test(
    "A peer that closes is not ready; one that speaks otherwise never will be",
    arguments: ["", "SSH-2.0-x\r\n"])
  func otherServer(greeting: String) async throws {
    let listener = try UnixListener(bindingTo: address)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        try await listener.run { _ in
        } onConnection: { connection in
          // However it ended, it ended.
          try? await connection.channel.writeAndFlush(ByteBuffer(string: greeting))
        }
      }
      let error = await #expect(throws: TransportError.self) {
        try await waitUntilReady(greeting.isEmpty ? .failFast : .waitUntilReady())
      }
      #expect(error?.code == .connectFailed)
      let failure = error?.attempts.last?.failure
      #expect(failure?.phase == .probe)
      #expect(failure?.outlook == (greeting.isEmpty ? .notReady : .fatal))
      group.cancelAll()
      try await group.waitForAll()
    }
  }
}
