import JSON
import ContainerdAPI
import FoundationEssentials
import Hawsepipe
import RPCCore
import ShimManagement
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore

@Suite("hawse call")
struct HawseCallTests {
  /// The events service: answers by the topic, and keeps what it was asked.
  private final class Receiver: Containerd_Services_Events_Ttrpc_V1_EventsService {
    typealias Request = Containerd_Services_Events_Ttrpc_V1_ForwardRequest
    let asked = Guarded<[(request: Request, context: RPCServerContext)]>([])

    func forward(
      _ request: Request, context: RPCServerContext
    ) async throws -> Google_Protobuf_Empty {
      asked.update { $0.append((request, context)) }
      switch request.envelope.topic {
      case "/refuse":
        throw RPCError(
          code: .notFound, message: "no such thing",
          details: [
            RPCStatusDetail(
              typeURL: "type.googleapis.com/google.protobuf.StringValue",
              value: try Google_Protobuf_StringValue("why").serializedBytes()),
            RPCStatusDetail(typeURL: "other/Type", value: [1, 2]),
          ])
      case "/never": try await Task.sleep(for: .seconds(3600))
      default: break
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
      let address = "unix://\(bench.directory)/events.sock"
      let listener = try await registry.listen(at: registry.parse(address))
      let receiver = Receiver()
      var server = TTRPCServer()
      receiver.register(on: &server)
      let serving = Task { [server] in try await server.run(on: listener) }
      defer { serving.cancel() }
      try await body(bench, address, receiver)
      serving.cancel()
      _ = await serving.result
    }
  }

  @Test("the request travels with its Any, its namespace, metadata and timeout")
  func request() async throws {
    try await serving { bench, address, receiver in
      let data = """
        {"envelope": {"topic": "/tasks/exit", "namespace": "tests", "event":
          {"@type": "containerd.events.TaskExit", "containerId": "web", "exit_status": 7}}}
        """
      let result = try await bench.run(
        "hawse", "call", "--namespace", "mine", "--metadata", "Key=a=b", "--metadata", "key=",
        "--timeout", "30", address, Self.method, "--data", data)
      #expect(result.code == 0 && result.out == "{}\n" && result.err == "", "\(result)")
      let (request, context) = try #require(receiver.asked.value.first)
      #expect(request.envelope.topic == "/tasks/exit" && request.envelope.namespace == "tests")
      let exit = try TypeURL.unpack(request.envelope.event, as: Containerd_Events_TaskExit.self)
      #expect(exit.containerID == "web" && exit.exitStatus == 7)
      #expect(request.envelope.event.typeURL == "containerd.events.TaskExit")
      #expect(context.metadata["containerd-namespace-ttrpc"] == "mine")
      #expect(context.metadata.values(for: "key") == ["a=b", ""])
      #expect(context.timeout.map { $0 > .seconds(1) && $0 <= .seconds(30) } == true)
    }
  }

  @Test("the request comes from a file or from standard input, or is empty")
  func sources() async throws {
    try await serving { bench, address, receiver in
      let json = Array(#"{"envelope": {"topic": "/here"}}"#.utf8)
      let call = ["hawse", "call", address, Self.method]
      let input = try await bench.run(call + ["--data", "-"], input: json)
      #expect(input.code == 0, "\(input)")
      #expect(try await bench.run(["tee", "request.json"], input: json).code == 0)
      let file = try await bench.run(call + ["--data", "@request.json"])
      #expect(file.code == 0, "\(file)")
      #expect(try await bench.run(call).code == 0)
      #expect(receiver.asked.value.map(\.request.envelope.topic) == ["/here", "/here", ""])
    }
  }

  @Test("a refusal is told with its code, its words and its details")
  func refusal() async throws {
    try await serving { bench, address, _ in
      let call = ["hawse", "call", address, Self.method, "--data"]
      let refuse = #"{"envelope": {"topic": "/refuse"}}"#
      let plain = try await bench.run(call + [refuse])
      expectError(
        plain, code: 1,
        [
          Self.method, "NotFound: no such thing",
          #"detail: {"@type":"type.googleapis.com/google.protobuf.StringValue","value":"why"}"#,
          #"detail: {"@bytes":"AQI=","@type":"other/Type"}"#,
        ])
      let json = try await bench.run(call + [refuse, "--json"])
      #expect(json.code == 1 && json.err == "", "\(json)")
      let error = try JSONValue(parsing: json.out.utf8)
      #expect(error["error", "code"]?.string == "NotFound")
      #expect(error["error", "number"]?.integer == 5)
      #expect(error["error", "message"]?.string == "no such thing")
      #expect(error["error", "details"]?.array?.first?["value"]?.string == "why")
    }
  }

  @Test("what takes too long, is not there or is not known ends in a sentence and its exit code")
  func failures() async throws {
    try await serving { bench, address, _ in
      let never = #"{"envelope": {"topic": "/never"}}"#
      let slow = try await bench.run(
        "hawse", "call", "--timeout", "0.2", address, Self.method, "--data", never)
      expectError(slow, code: 1, ["DeadlineExceeded"])
      let unknown = try await bench.run(
        "hawse", "call", address, "containerd.task.v2.Task/State")
      expectError(unknown, code: 1, ["Unimplemented"])
      let gone = try await bench.run(
        "hawse", "call", "unix://\(bench.directory)/none.sock", Self.method)
      expectError(gone, code: 1, ["ENOENT", "Check that the server runs"])
      let json = try await bench.run(
        "hawse", "call", "--json", "unix://\(bench.directory)/none.sock", Self.method)
      #expect(json.code == 1 && json.err == "", "\(json)")
      #expect(
        try JSONValue(parsing: json.out.utf8)["error", "code"]?.string == "connectFailed")
    }
  }

  @Test(
    "a slip in a method or in the request is named before anything is dialled",
    arguments: [
      (["containerd.task.v2.Tsk/State"], ["Did you mean containerd.task.v2.Task/State?"]),
      (["containerd.task.v2.Task/Sate"], ["Did you mean containerd.task.v2.Task/State?"]),
      (["task.v3.Task/Kill"], ["Did you mean containerd.task.v3.Task/Kill?"]),
      (["containerd.task.v2.Task.Wait"], ["Did you mean containerd.task.v2.Task/Wait?"]),
      (["closeio"], ["Did you mean containerd.task.v2.Task/CloseIO?"]),
      (["nothing/like/it"], ["hawse call --list"]),
      (["containerd.task.v2.Task/State", "--data", "{"], ["--data is not JSON", "column 2"]),
      (
        ["containerd.task.v2.Task/State", "--data", "[]"], ["not a containerd.task.v2.StateRequest"]
      ),
      (["containerd.task.v2.Task/State", "--data", #"{"idd":""}"#], ["no field \"idd\""]),
      (["containerd.task.v2.Task/State", "--data", "@/none"], ["cannot open /none"]),
      (
        ["containerd.task.v2.Task/Exec", "--data", #"{"spec":{"@type":"some/Type","x":1}}"#],
        ["some/Type is not known", "@bytes"]
      ),
      (["containerd.task.v2.Task/State", "--metadata", "x"], ["--metadata x is not KEY=VALUE"]),
    ])
  func slips(_ arguments: [String], _ essentials: [String]) async throws {
    try await TransportBench.use { bench in
      let result = try await bench.run(["hawse", "call", "unix:///nonexistent"] + arguments)
      #expect(result.code == 64 && result.out == "", "\(result)")
      for essential in essentials { #expect(result.err.contains(essential), "\(result)") }
    }
  }

  @Test("--list shows every method, for people and for programs")
  func list() async throws {
    try await TransportBench.use { bench in
      let plain = try await bench.run("hawse", "call", "--list")
      #expect(plain.code == 0 && plain.out.split(separator: "\n").count == 60, "\(plain)")
      let json = try await bench.run("hawse", "call", "--list", "--json")
      let methods = try #require(try JSONValue(parsing: json.out.utf8).array)
      #expect(
        methods.contains([
          "method": "containerd.task.v3.Task/Wait",
          "request": "containerd.task.v3.WaitRequest",
          "response": "containerd.task.v3.WaitResponse",
        ]))
    }
  }
}
