import Glibc
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// Connections that each made one call and then nothing.
enum IdleClients {
  /// Holds them until standard input ends. Each line of it asks for that many more.
  static func hold(at path: String, count: Int) async throws {
    raiseDescriptorLimit()
    var registry = TransportRegistry()
    registry.register(UnixConnector())
    let address = TransportAddress(place: .unix(path: path))
    var clients: [TTRPCClient] = []
    clients.reserveCapacity(count)
    var wanted: Int? = count
    while let more = wanted {
      for _ in 0..<more {
        let client = try await TTRPCClient.connect(to: address, using: registry)
        _ = try await client.unary(
          EchoServer.echo, Google_Protobuf_BytesValue(),
          returning: Google_Protobuf_BytesValue.self, options: RPCCallOptions())
        clients.append(client)
      }
      print("connected")
      fflush(nil)
      // Nothing else runs in this process that would mind the wait.
      wanted = readLine().flatMap { Int($0) }
    }
    for client in clients { await client.close() }
  }
}
