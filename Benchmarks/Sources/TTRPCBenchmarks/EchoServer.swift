import Glibc
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// The service that is measured: it sends back what it gets.
enum EchoServer {
  static let echo = RPCMethod(service: "bench.Echo", name: "Echo")

  /// Serves until the process is killed.
  static func run(at path: String, quick: Bool) async throws {
    raiseDescriptorLimit()
    var server = TTRPCServer()
    let handler: @Sendable (Google_Protobuf_BytesValue, RPCServerContext) async throws ->
      Google_Protobuf_BytesValue = { message, _ in message }
    if quick {
      server.register(echo, execution: .eventLoop, handler: handler)
    } else {
      server.register(echo, handler: handler)
    }
    let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
    print("listening")
    fflush(nil)
    try await server.run(on: listener)
  }
}

func raiseDescriptorLimit() {
  var limit = rlimit()
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
  limit.rlim_cur = limit.rlim_max
  setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
