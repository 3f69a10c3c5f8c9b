#if GRPC
  import ContainerdAPI
  import GRPCTransport
  import Hawsepipe
  import JSON
  import RPCCore
  import SwiftProtobuf
  import TTRPC
  import Testing
  import TransportCore

  @Suite("hawse and gRPC")
  struct HawseGRPCTests {
    /// Answers by the topic.
    private final class Receiver: Containerd_Services_Events_Ttrpc_V1_EventsService {
      typealias Request = Containerd_Services_Events_Ttrpc_V1_ForwardRequest
      let asked = Guarded<[RPCServerContext]>([])

      func forward(
        _ request: Request, context: RPCServerContext
      ) async throws -> Google_Protobuf_Empty {
        asked.update { $0.append(context) }
        guard request.envelope.topic != "/refuse" else {
          throw RPCError(code: .notFound, message: "no such thing")
        }
        return Google_Protobuf_Empty()
      }
    }

    private static let method = "containerd.services.events.ttrpc.v1.Events/Forward"

    private func serving(
      _ body: (TransportBench, _ address: String, Receiver) async throws -> Void
    ) async throws {
      try await TransportBench.use { bench in
        let registry = TransportRegistry.standard
        let address = "unix://\(bench.directory)/grpc.sock"
        let listener = try await registry.listen(at: registry.parse(address))
        let receiver = Receiver()
        var server = GRPCListenerServer()
        receiver.register(on: &server)
        let serving = Task { [server] in try await server.run(on: listener) }
        defer { serving.cancel() }
        try await body(bench, address, receiver)
        serving.cancel()
        _ = await serving.result
      }
    }

    @Test("call: the request travels with its namespace, and a refusal comes back in words")
    func call() async throws {
      try await serving { bench, address, receiver in
        let call = ["hawse", "call", "--namespace", "mine", "grpc+\(address)", Self.method]
        let answer = try await bench.run(call)
        #expect(answer.code == 0 && answer.out == "{}\n" && answer.err == "", "\(answer)")
        let context = try #require(receiver.asked.value.first)
        #expect(context.metadata["containerd-namespace"] == "mine")
        let refusal = try await bench.run(
          call + ["--data", #"{"envelope": {"topic": "/refuse"}}"#])
        expectError(refusal, code: 1, [Self.method, "NotFound: no such thing"])
      }
    }

    @Test("ping counts the answers of a server that has no such method")
    func ping() async throws {
      try await serving { bench, address, _ in
        let result = try await bench.run(
          "hawse", "ping", "-c", "2", "-i", "0", "--timeout", "50", "grpc+\(address)")
        #expect(result.code == 0 && result.err == "", "\(result)")
        #expect(result.out.contains("2 sent, 2 answered, 0% lost"), "\(result)")
      }
    }

    @Test("probe --grpc says that the peer speaks it, and what it speaks instead")
    func probe() async throws {
      try await serving { bench, address, _ in
        let result = try await bench.run("hawse", "probe", "--json", "--grpc", address)
        #expect(result.code == 0 && result.err == "", "\(result)")
        #expect(try JSONValue(parsing: result.out.utf8)["protocol"]?.string == "grpc")
        let ttrpc = try await bench.run("hawse", "probe", "--ttrpc", address)
        expectError(ttrpc, code: 1, ["does not answer as a ttrpc server does"])
      }
    }

    @Test("a ttrpc server where gRPC was named is told by what it does")
    func stranger() async throws {
      try await TransportBench.use { bench in
        let registry = TransportRegistry.standard
        let address = "unix://\(bench.directory)/ttrpc.sock"
        let listener = try await registry.listen(at: registry.parse(address))
        let serving = Task { try await TTRPCServer().run(on: listener) }
        defer { serving.cancel() }
        let result = try await bench.run(
          "hawse", "call", "--connect-timeout", "1", "grpc+\(address)", Self.method)
        expectError(result, code: 1, ["no gRPC at", "ttrpc"])
        serving.cancel()
        _ = await serving.result
      }
    }
  }
#endif
