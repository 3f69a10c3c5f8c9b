import Glibc
import RPCCore
import SwiftProtobuf
import Synchronization
import TTRPC

typealias PeerText = Google_Protobuf_StringValue

extension Google_Protobuf_StringValue {
  init(_ text: some StringProtocol) { self = .with { $0.value = String(text) } }
}

/// hawsepipe.test.Peer (see Peers/ttrpc/peer.proto) as we serve it.
final class PeerService: Sendable {
  private let counts = Mutex(Counts())
  /// Ends the server, and counts what it has.
  let control = RPCServerControl()

  struct Counts {
    /// Sleeps and Ignores that are under way, and that were ended before their time.
    var asleep = 0
    var woken = 0
    /// Handlers that have been called, and that have returned or thrown.
    var began = 0
    var ended = 0
  }

  var now: Counts { counts.withLock { $0 } }

  /// Whether every handler has ended, and every call and connection with it.
  var isIdle: Bool {
    let now = now
    return now.began == now.ended && now.asleep == 0 && control.calls == 0
      && control.connections == 0
  }

  static func method(_ name: String) -> RPCMethod {
    RPCMethod(service: "hawsepipe.test.Peer", name: name)
  }

  /// The error that "CODE TEXT" asks for.
  static func failure(_ what: some StringProtocol) -> RPCError {
    let halves = what.split(separator: " ", maxSplits: 1)
    let text = halves.count > 1 ? String(halves[1]) : ""
    return RPCError(
      code: RPCCode(rawValue: Int32(halves[0]) ?? 2), message: text, details: [detail(of: text)])
  }

  static func detail(of text: String) -> RPCStatusDetail {
    RPCStatusDetail(
      typeURL: "type.googleapis.com/google.protobuf.StringValue",
      // Field 1, for a text of fewer than 128 bytes.
      value: text.isEmpty ? [] : [0x0a, UInt8(text.utf8.count)] + Array(text.utf8))
  }

  private func counting<Value>(_ body: () async throws -> Value) async throws -> Value {
    counts.withLock { $0.began += 1 }
    defer { counts.withLock { $0.ended += 1 } }
    return try await body()
  }

  private func sleep(_ duration: Duration) async throws {
    counts.withLock { $0.asleep += 1 }
    defer { counts.withLock { $0.asleep -= 1 } }
    do {
      try await Task.sleep(for: duration)
    } catch {
      counts.withLock { $0.woken += 1 }
      throw error
    }
  }

  func server(_ configuration: TTRPCServer.Configuration = .init()) -> TTRPCServer {
    var server = TTRPCServer(configuration: configuration)
    registerUnary(&server)
    registerStreams(&server)
    return server
  }

  // MARK: Unary methods

  private func unary(
    _ server: inout TTRPCServer, _ name: String,
    _ body: @escaping @Sendable (String, RPCServerContext) async throws -> String
  ) {
    server.register(Self.method(name)) { (text: PeerText, context) in
      try await self.counting { PeerText(try await body(text.value, context)) }
    }
  }

  private func registerUnary(_ server: inout TTRPCServer) {
    unary(&server, "Echo") { text, _ in text }
    unary(&server, "Metadata") { key, context in
      context.metadata.values(for: key).joined(separator: ",")
    }
    unary(&server, "Remaining") { _, context in
      context.timeout.map { "\($0.components.seconds * 1000)" } ?? "none"
    }
    unary(&server, "Sleep") { milliseconds, _ in
      try await self.sleep(.milliseconds(Int(milliseconds) ?? 0))
      return "slept"
    }
    unary(&server, "Asleep") { _, _ in "\(self.now.asleep)" }
    unary(&server, "Woken") { _, _ in "\(self.now.woken)" }
    unary(&server, "Fail") { what, _ in throw Self.failure(what) }
    unary(&server, "Letters") { size, _ in String(repeating: "x", count: Int(size) ?? 0) }
    unary(&server, "Process") { _, _ in "\(getpid())" }
  }

  // MARK: Streaming methods

  private func registerStreams(_ server: inout TTRPCServer) {
    server.registerClientStreaming(Self.method("Sum")) { (messages: RPCReader<PeerText>, _) in
      try await self.counting {
        var (sum, count) = (0, 0)
        for try await message in messages {
          sum += Int(message.value) ?? 0
          count += 1
        }
        return PeerText("\(sum) of \(count)")
      }
    }
    server.registerClientStreaming(Self.method("First")) { (messages: RPCReader<PeerText>, _) in
      try await self.counting { try await messages.next() ?? PeerText() }
    }
    server.registerServerStreaming(Self.method("Divide")) {
      (request: PeerText, answers: RPCWriter<PeerText>, _) in
      try await self.counting {
        for part in request.value.split(separator: ",", omittingEmptySubsequences: false) {
          if part.hasPrefix("!") { throw Self.failure(part.dropFirst()) }
          try await answers.send(PeerText(part))
        }
      }
    }
    server.registerServerStreaming(Self.method("Flood")) {
      (request: PeerText, answers: RPCWriter<PeerText>, _) in
      try await self.counting {
        let numbers = request.value.split(separator: " ").compactMap { Int($0) }
        let message = PeerText(String(repeating: "x", count: numbers[1]))
        for _ in 0..<numbers[0] { try await answers.send(message) }
      }
    }
    server.registerBidirectional(Self.method("EchoStream")) {
      (messages: RPCReader<PeerText>, answers: RPCWriter<PeerText>, _) in
      try await self.counting {
        for try await message in messages {
          if message.value == "." { return }
          if message.value.hasPrefix("!") { throw Self.failure(message.value.dropFirst()) }
          try await answers.send(message)
        }
      }
    }
    server.registerBidirectional(Self.method("Ignore")) {
      (_: RPCReader<PeerText>, _: RPCWriter<PeerText>, _) in
      try await self.counting { try await self.sleep(.seconds(3600)) }
    }
  }
}
