import ContainerdAPI
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// Takes events, and forgets them.
struct EventTaker: Containerd_Services_Events_Ttrpc_V1_EventsService {
  private let listener: UnixListener

  init(at path: String) throws {
    listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
  }

  func serve() async throws {
    var server = TTRPCServer()
    register(on: &server, execution: .eventLoop)
    try await server.run(on: listener)
  }

  nonisolated(nonsending) func forward(
    _ request: Containerd_Services_Events_Ttrpc_V1_ForwardRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty { Google_Protobuf_Empty() }
}
