import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCTransport
import Measuring
import RPCCore
import SwiftProtobuf
import TransportCore
import UnixTransport

/// Calls without pause from a number of tasks on a number of connections, for a time.
struct Load: Sendable {
  let kind: String
  let path: String
  let connections: Int
  let inFlight: Int
  let message: Echo.Message
  let window: Window

  init(_ kind: String, _ arguments: [String]) throws {
    self.kind = kind
    path = arguments[0]
    connections = try number(arguments[1])
    inFlight = try number(arguments[2])
    let bytes = try number(arguments[3])
    message = .with { $0.value = .init(repeating: 0, count: bytes) }
    window = Window(
      warmUp: try nanoseconds(arguments[4]), duration: try nanoseconds(arguments[5]))
  }

  func run() async throws {
    let sample = try await withThrowingTaskGroup(of: Sample.self) { group in
      for _ in 0..<connections { group.addTask { try await calls() } }
      return try await group.reduce(into: Sample()) { $0.add($1) }
    }
    print(try sample.report(of: window))
  }

  private func calls() async throws -> Sample {
    let address = TransportAddress(rpc: .grpc, place: .unix(path: path))
    let connectors = TransportRegistry([UnixConnector()])
    switch kind {
    case "caller":
      let client = GRPCRedialingClient(to: address, using: connectors)
      let sample = try await Sample.taken(in: window, tasks: inFlight) {
        check(
          try await client.unary(
            Echo.method, message, returning: Echo.Message.self,
            options: RPCCallOptions(timeout: nil)))
      }
      await client.close()
      return sample
    case "ours":
      return try await calls(through: ConnectorClientTransport(to: address, using: connectors))
    case "stock":
      return try await calls(
        through: HTTP2ClientTransport.Posix(
          target: .unixDomainSocket(path: path), transportSecurity: .plaintext,
          config: .defaults { $0.connection.flushCoalescing = nil }))
    default:
      throw Problem("there is no client \(kind)")
    }
  }

  private func calls(through transport: some ClientTransport) async throws -> Sample {
    try await withGRPCClient(transport: transport) { client in
      try await Sample.taken(in: window, tasks: inFlight) {
        check(
          try await client.unary(
            request: ClientRequest(message: message), descriptor: Echo.descriptor,
            serializer: ProtobufCoding<Echo.Message>(),
            deserializer: ProtobufCoding<Echo.Message>(), options: .defaults
          ) { try $0.message })
      }
    }
  }

  private func check(_ answer: Echo.Message) {
    precondition(answer == message, "an answer is not what was sent")
  }
}
