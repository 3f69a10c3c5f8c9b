internal import ContainerdAPI
internal import RPCCore
internal import SwiftProtobuf
internal import TTRPC
internal import TransportCore
internal import UnixTransport

/// The shim that listens at a group's socket already, as its answers show it.
struct RunningShim: Sendable {
  var place: SocketPlace
  var namespace: String
  var id: String

  enum Answer: Sendable {
    /// It serves these versions of the task service.
    case serves(Set<Int>)
    /// It went away while it was asked, as far as this tells.
    case gone(String)
    /// It took the connection, and did not answer in time.
    case mute
    /// It answers, but is no shim of ours: why.
    case stranger(String)
  }

  /// Asks which versions of the task service it serves. What it says of the id does not matter.
  func ask(within limit: Duration) async -> Answer {
    await connected(within: limit) { client in
      var served: Set<Int> = []
      for version in [3, 2] {
        do throws(RPCError) {
          try await connect(version, over: client, within: limit)
          served.insert(version)
        } catch {
          switch error.reason {
          case .status where error.code == .unimplemented: continue
          case .status: served.insert(version)
          case .deadline: return .mute
          case .protocolViolation: return .stranger("\(error)")
          default: return .gone("\(error)")
          }
        }
      }
      return served.isEmpty
        ? .stranger("it speaks ttrpc, and serves no version of the task service") : .serves(served)
    }
  }

  /// Tells it to end if it has no task left. It decides that, and may just be ending.
  func shutDown(within limit: Duration) async {
    _ = await connected(within: limit) { client in
      let options = options(limit)
      do throws(RPCError) {
        let task = Containerd_Task_V3_TaskClient(caller: client)
        _ = try await task.shutdown(.with { $0.id = id }, options: options)
      } catch {
        guard error.reason == .status, error.code == .unimplemented else {
          return .gone("\(error)")
        }
        let task = Containerd_Task_V2_TaskClient(caller: client)
        // Whatever it answers: it was told.
        _ = try? await task.shutdown(.with { $0.id = id }, options: options)
      }
      return .gone("")
    }
  }

  private func connect(
    _ version: Int, over client: TTRPCClient, within limit: Duration
  ) async throws(RPCError) {
    if version == 3 {
      let task = Containerd_Task_V3_TaskClient(caller: client)
      _ = try await task.connect(.with { $0.id = id }, options: options(limit))
    } else {
      let task = Containerd_Task_V2_TaskClient(caller: client)
      _ = try await task.connect(.with { $0.id = id }, options: options(limit))
    }
  }

  private func options(_ limit: Duration) -> RPCCallOptions {
    RPCCallOptions(timeout: limit, metadata: ["containerd-namespace-ttrpc": namespace])
  }

  private func connected(
    within limit: Duration, _ body: (TTRPCClient) async -> Answer
  ) async -> Answer {
    let client: TTRPCClient
    do {
      client = try await TTRPCClient.connect(
        to: TransportAddress(place: .unix(path: place.path)),
        using: TransportRegistry([UnixConnector()]),
        options: ConnectOptions(timeout: limit, tryLimit: limit, mode: .failFast))
    } catch {
      return .gone("\(error)")
    }
    let answer = await body(client)
    await client.close()
    return answer
  }
}
