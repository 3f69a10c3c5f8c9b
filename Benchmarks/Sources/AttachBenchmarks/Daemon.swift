import ContainerdAPI
import GRPCTransport
import Measuring
import RPCCore
import SwiftProtobuf
import TransportCore
import UnixTransport

/// The sandboxes of containerd's own controller, which its command line does not get to.
struct Daemon {
  let socket: String
  let sandbox: String

  private static let controller = "shim"

  func run(_ verb: String, runtime: String) async throws {
    let client = GRPCRedialingClient(
      to: TransportAddress(rpc: .grpc, place: .unix(path: socket)),
      using: TransportRegistry([UnixConnector()]))
    let calls = Containerd_Services_Sandbox_V1_ControllerClient(caller: client)
    var options = RPCCallOptions(timeout: .seconds(30))
    options.metadata["containerd-namespace"] = "default"
    switch verb {
    case "begin":
      _ = try await calls.create(
        .with {
          $0.sandboxID = sandbox
          $0.sandboxer = Self.controller
          $0.sandbox = .with {
            $0.sandboxID = sandbox
            $0.runtime = .with { $0.name = runtime }
            $0.spec = .with {
              // It ends where there is none.
              $0.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
              $0.value = .init("{}".utf8)
            }
          }
        }, options: options)
      _ = try await calls.start(
        .with {
          $0.sandboxID = sandbox
          $0.sandboxer = Self.controller
        }, options: options)
    case "end":
      _ = try await calls.stop(
        .with {
          $0.sandboxID = sandbox
          $0.sandboxer = Self.controller
        }, options: options)
      _ = try await calls.shutdown(
        .with {
          $0.sandboxID = sandbox
          $0.sandboxer = Self.controller
        }, options: options)
    default: throw Problem("\(verb) is neither begin nor end")
    }
    await client.close()
  }
}
