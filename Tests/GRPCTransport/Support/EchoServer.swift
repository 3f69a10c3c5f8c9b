#if GRPC
  import Glibc
  import GRPCTransport
  import MemoryTransport
  import NIOCore
  import RPCCore
  import SwiftProtobuf
  import TransportCore
  import UnixTransport

  typealias RPCError = RPCCore.RPCError

  typealias Text = Google_Protobuf_StringValue

  /// A service with a method of each kind.
  enum Echo {
    static let service = "t.Echo"
    static let unary = RPCMethod(service: service, name: "Echo")
    static let fail = RPCMethod(service: service, name: "Fail")
    static let hang = RPCMethod(service: service, name: "Hang")
    static let peer = RPCMethod(service: service, name: "Peer")
    static let metadata = RPCMethod(service: service, name: "Metadata")
    static let timeout = RPCMethod(service: service, name: "Timeout")
    static let join = RPCMethod(service: service, name: "Join")
    static let split = RPCMethod(service: service, name: "Split")
    static let chat = RPCMethod(service: service, name: "Chat")

    static func register(on server: inout some RPCRegistrar, _ execution: RPCExecution = .pool) {
      server.register(unary, execution: execution) { (text: Text, _) in text }
      server.register(fail) { (text: Text, _) -> Text in
        throw RPCError(
          code: .failedPrecondition, message: "no: \(text.value) ü",
          details: [RPCStatusDetail(typeURL: "type.googleapis.com/t.D", value: [1, 2, 0, 255])])
      }
      server.register(hang) { (text: Text, _) in
        try await Task.sleep(for: .seconds(600))
        return text
      }
      server.register(peer) { (_: Text, context) in Text("\(context.peer.unix?.pid ?? -1)") }
      server.register(metadata) { (text: Text, context) in
        Text(context.metadata.values(for: text.value).joined(separator: "|"))
      }
      server.register(timeout) { (_: Text, context) in
        Text(context.timeout.map { "\($0)" } ?? "none")
      }
      server.registerClientStreaming(join) { (texts: RPCReader<Text>, _) in
        var all = ""
        for try await text in texts { all += text.value }
        return Text(all)
      }
      server.registerServerStreaming(split) { (text: Text, out: RPCCore.RPCWriter<Text>, _) in
        for part in text.value.split(separator: " ") {
          if part == "fail" { throw RPCError(code: .aborted, message: "asked to") }
          try await out.send(Text(String(part)))
        }
      }
      server.registerBidirectional(chat) {
        (texts: RPCReader<Text>, out: RPCCore.RPCWriter<Text>, _) in
        for try await text in texts { try await out.send(text) }
      }
    }

    static func server(
      _ configuration: GRPCListenerServer.Configuration = .init(), _ execution: RPCExecution = .pool
    ) -> GRPCListenerServer {
      var server = GRPCListenerServer(configuration: configuration)
      register(on: &server, execution)
      return server
    }
  }

  extension Text {
    init(_ value: String) { self = .with { $0.value = value } }
  }

  /// An address of a unix socket that nobody else has.
  func someAbstractAddress() -> TransportAddress {
    TransportAddress(
      rpc: .grpc,
      place: .abstract(name: "hawsepipe-grpc-\(getpid())-\(UInt64.random(in: 0 ... .max))"))
  }

  /// Runs `body` while a server listens.
  func serving<Value: Sendable>(
    _ server: GRPCListenerServer, on listener: some Listener, policy: PeerPolicy? = nil,
    control: RPCServerControl = RPCServerControl(),
    _ body: @escaping @Sendable (TransportAddress) async throws -> Value
  ) async throws -> Value {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run(on: listener, policy: policy, control: control) }
      let outcome: Result<Value, any Error>
      do {
        outcome = .success(try await body(listener.boundAddress))
      } catch {
        outcome = .failure(error)
      }
      group.cancelAll()
      try await group.waitForAll()
      return try outcome.get()
    }
  }

  extension RPCCaller {
    func echo(_ value: String, timeout: Duration = .seconds(60)) async throws(RPCError) -> String {
      try await unary(
        Echo.unary, Text(value), returning: Text.self, options: RPCCallOptions(timeout: timeout)
      ).value
    }
  }
#endif
