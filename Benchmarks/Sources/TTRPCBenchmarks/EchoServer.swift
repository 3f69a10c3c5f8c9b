import Glibc
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// The service that is measured: it sends back what it gets.
enum EchoServer {
  static let echo = RPCMethod(service: "bench.Echo", name: "Echo")
  static let stream = RPCMethod(service: "bench.Echo", name: "Stream")

  /// Serves until the process is killed.
  static func run(at path: String, quick: Bool) async throws {
    raiseDescriptorLimit()
    var server = TTRPCServer()
    if quick {
      server.register(echo, execution: .eventLoop, handler: answer)
      server.registerBidirectional(stream, execution: .eventLoop, handler: answerStream)
    } else {
      server.register(echo, handler: answer)
      server.registerBidirectional(stream, handler: answerStream)
    }
    let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
    print("listening")
    fflush(nil)
    try await server.run(on: listener)
  }
}

private typealias Message = Google_Protobuf_BytesValue

@Sendable private func answer(_ message: Message, _: RPCServerContext) async throws -> Message {
  message
}

@Sendable private func answerStream(
  _ requests: RPCReader<Message>, _ responses: RPCWriter<Message>, _: RPCServerContext
) async throws {
  while let message = try await requests.next() { try await responses.send(message) }
}

func raiseDescriptorLimit() {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
  limit.rlim_cur = limit.rlim_max
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
