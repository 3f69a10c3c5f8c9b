import JSON
import ContainerdAPI
import Foundation
import Hawsepipe
import RPCCore
import ShimManagement
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore

@testable import hawse

@Suite("Messages as JSON, for hawse call")
struct HawseMessageJSONTests {
  private typealias Create = Containerd_Task_V3_CreateTaskRequest

  /// What an Any is in JSON, the URL that it then has, and its bytes.
  private static let anys: [(json: JSONValue, url: String, value: [UInt8])] = [
    (
      ["@type": "containerd.runc.v1.Options", "binaryName": "crun"], "containerd.runc.v1.Options",
      [0x32, 4] + Array("crun".utf8)
    ),
    (
      ["@type": "type.googleapis.com/containerd.runc.v1.Options"],
      "type.googleapis.com/containerd.runc.v1.Options", []
    ),
    (
      ["@type": "types.containerd.io/opencontainers/runtime-spec/1/Process", "value": ["a": [1]]],
      "types.containerd.io/opencontainers/runtime-spec/1/Process", Array(#"{"a":[1]}"#.utf8)
    ),
    (
      ["@type": "google.protobuf.Timestamp", "value": "1970-01-01T00:00:01Z"],
      "google.protobuf.Timestamp", [8, 1]
    ),
    (["@type": "unknown/Type", "@bytes": "AAEC"], "unknown/Type", [0, 1, 2]),
  ]

  @Test("an Any is read and shown in the same form", arguments: anys.indices)
  func readAndShown(_ index: Int) throws {
    let (json, url, value) = Self.anys[index]
    let request: JSONValue = ["id": "x", "options": json]
    let message = try MessageJSON.message(request, as: Create.self)
    let create = try #require(message as? Create)
    #expect(create.options.typeURL == url)
    #expect([UInt8](create.options.value) == value)
    #expect(try MessageJSON.json(create) == request)
  }

  @Test("bytes that are not what their type says are shown as bytes")
  func damaged() throws {
    let create = Create.with {
      $0.options.typeURL = "containerd.runc.v1.Options"
      $0.options.value = Data([0xff])
    }
    #expect(
      try MessageJSON.json(create)
        == ["options": ["@type": "containerd.runc.v1.Options", "@bytes": "/w=="]])
  }

  @Test("every message of the catalog that has an Any says so")
  func complete() throws {
    // Each Any of the .proto files, by the messages that hold one.
    let expected: Set<String> = [
      "CreateTaskRequest", "CheckpointTaskRequest", "ExecProcessRequest", "UpdateTaskRequest",
      "StatsResponse", "PidsResponse", "ForwardRequest",
      "CreateSandboxRequest", "StartSandboxResponse", "SandboxStatusResponse",
      "SandboxMetricsResponse", "ControllerCreateRequest", "ControllerStartResponse",
      "ControllerStatusResponse", "ControllerMetricsResponse", "ControllerUpdateRequest",
      "Envelope",
    ]
    var carrying: Set<String> = []
    for signature in ServiceCatalog.standard.methods {
      for type in [signature.request, signature.response] {
        let empty: any Message = type.init()
        if empty is any CarriesAny { carrying.insert(type.protoMessageName) }
      }
    }
    #expect(Set(carrying.map { String($0.split(separator: ".").last ?? "") }) == expected)
    // Six of each version of the task API; of every other service each once.
    #expect(carrying.count == expected.count + 6)
  }

  // MARK: - Streams

  private static let sum = RPCMethodSignature(
    RPCMethod(service: "t.S", name: "Sum"), kind: .clientStreaming,
    request: Google_Protobuf_Int64Value.self, response: Google_Protobuf_Int64Value.self)
  private static let count = RPCMethodSignature(
    RPCMethod(service: "t.S", name: "Count"), kind: .serverStreaming,
    request: Google_Protobuf_Int64Value.self, response: Google_Protobuf_Int64Value.self)
  private static let echo = RPCMethodSignature(
    RPCMethod(service: "t.S", name: "Echo"), kind: .bidirectional,
    request: Google_Protobuf_Int64Value.self, response: Google_Protobuf_Int64Value.self)

  private var server: TTRPCServer {
    typealias Number = Google_Protobuf_Int64Value
    var server = TTRPCServer()
    server.registerClientStreaming(Self.sum.method) { (numbers: RPCReader<Number>, _) in
      var sum = Number()
      for try await number in numbers { sum.value += number.value }
      return sum
    }
    server.registerServerStreaming(Self.count.method) {
      (number: Number, answers: RPCWriter<Number>, _) in
      for value in 1...number.value { try await answers.send(Number(value)) }
    }
    server.registerBidirectional(Self.echo.method) {
      (numbers: RPCReader<Number>, answers: RPCWriter<Number>, _) in
      for try await number in numbers { try await answers.send(number) }
    }
    return server
  }

  private func answers(
    _ signature: RPCMethodSignature, _ requests: [JSONValue]
  ) async throws -> [JSONValue] {
    let answers = Guarded<[JSONValue]>([])
    try await TransportBench.use { bench in
      let registry = TransportRegistry.standard
      let address = try registry.parse("unix://\(bench.directory)/streams.sock")
      let listener = try await registry.listen(at: address)
      let serving = Task { [server] in try await server.run(on: listener) }
      defer { serving.cancel() }
      try await withTTRPCClient(to: address, using: registry) { client in
        try await DynamicCall(signature, requests, RPCCallOptions()).run(over: client) { answer in
          answers.update { $0.append(answer) }
        }
      }
      serving.cancel()
      _ = await serving.result
    }
    return answers.value
  }

  @Test("streams of all kinds", .timeLimit(.minutes(1)))
  func streams() async throws {
    #expect(try await answers(Self.sum, ["1", "2", "39"]) == ["42"])
    #expect(try await answers(Self.sum, []) == ["0"])
    #expect(try await answers(Self.count, ["2"]) == ["1", "2"])
    #expect(try await answers(Self.echo, ["5", "6"]) == ["5", "6"])
  }
}
