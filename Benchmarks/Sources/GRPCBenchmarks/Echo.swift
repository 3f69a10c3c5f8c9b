import GRPCCore
import GRPCNIOTransportHTTP2Posix
import GRPCTransport
import Glibc
import Measuring
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// The service that is measured: it sends back what it gets.
enum Echo {
  typealias Message = Google_Protobuf_BytesValue

  static let method = RPCMethod(service: "bench.Echo", name: "Echo")
  static let numbers = RPCMethod(service: "bench.Echo", name: "Numbers")
  static let descriptor = MethodDescriptor(
    service: ServiceDescriptor(fullyQualifiedService: method.service), method: method.name)

  /// Serves until the process is killed.
  static func serve(_ kind: String, at path: String) async throws {
    switch kind {
    case "ours":
      var server = GRPCListenerServer()
      register(on: &server)
      let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
      sayListening()
      try await server.run(on: listener)
    case "ttrpc":
      var server = TTRPCServer()
      register(on: &server)
      let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
      sayListening()
      try await server.run(on: listener)
    case "stock":
      let transport = HTTP2ServerTransport.Posix(
        address: .unixDomainSocket(path: path), transportSecurity: .plaintext,
        config: .defaults { $0.connection.flushCoalescing = nil })
      let server = GRPCServer(transport: transport, services: [StockEcho()])
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.serve() }
        _ = try await transport.listeningAddress
        sayListening()
        try await group.waitForAll()
      }
    default:
      throw Problem("there is no server \(kind)")
    }
  }

  private static func register(on server: inout some RPCRegistrar) {
    server.register(method) { (message: Message, _: RPCServerContext) in message }
    server.register(numbers) { (number: Google_Protobuf_UInt64Value, _: RPCServerContext) in number
    }
  }

  private static func sayListening() {
    print("listening")
    fflush(nil)
  }
}

/// The same as a service of grpc-swift's.
private struct StockEcho: RegistrableRPCService {
  func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
    router.registerHandler(
      forMethod: Echo.descriptor, deserializer: ProtobufCoding<Echo.Message>(),
      serializer: ProtobufCoding<Echo.Message>()
    ) { request, context in
      let single = try await ServerRequest(stream: request)
      return StreamingServerResponse(
        single: ServerResponse(message: single.message, metadata: [:]))
    }
  }
}

/// Messages as grpc-swift-protobuf codes them.
struct ProtobufCoding<Message: SwiftProtobuf.Message>: MessageSerializer, MessageDeserializer {
  func serialize<Bytes: GRPCContiguousBytes>(_ message: Message) throws -> Bytes {
    let bytes: [UInt8] = try message.serializedBytes()
    return Bytes(bytes)
  }

  func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> Message {
    try Message(serializedBytes: bytes.withUnsafeBytes { Array($0) })
  }
}
