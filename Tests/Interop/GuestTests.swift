import ContainerdClient
import GRPCTransport
import Hawsepipe
import RPCCore
import TTRPC
import Testing
import TransportCore

/// A virtual machine with our shim and Go's: its tests share it.
@Suite(
  "Across the wall of a virtual machine", .serialized, .guestBench, .containerdReleases,
  .ttrpcPeers, .timeLimit(.minutes(15)))
struct GuestTests {
  private static let options = ConnectOptions(timeout: .seconds(60))

  private func withGoShim(_ body: (RPCLine) async throws -> Void) async throws {
    let line = try await SandboxPeer.dialers.dial(
      GuestBench.booted().guest.goShim, using: .standard, options: Self.options)
    do {
      try await body(line)
    } catch {
      await line.connection.close()
      throw error
    }
    await line.connection.close()
  }

  // MARK: gRPC over hybrid vsock

  @Test("our task client drives Go's shim over grpc+hvsock")
  func tasks() async throws { try await withGoShim { try await SandboxPeer.checkTasks($0) } }

  @Test("our sandbox client drives Go's shim over grpc+hvsock")
  func sandboxes() async throws {
    try await withGoShim { try await SandboxPeer.checkSandboxes($0) }
  }

  /// Go's gRPC server writes its settings before it reads anything: they may come with the answer to the
  /// handshake, or right behind it.
  @Test("of 250 gRPC connections over hybrid vsock to a server that speaks first none fails")
  func storm() async throws {
    let address = try GuestBench.booted().guest.goShim
    var failures: [String] = []
    for round in 0..<250 {
      do {
        let line = try await SandboxPeer.dialers.dial(
          address, using: .standard, options: Self.options)
        do {
          let tasks = try TaskClient(caller: line, version: 3, namespace: "blue")
          #expect(try await tasks.connect("x", timeout: .seconds(30)).shimPID > 0)
        } catch {
          failures.append("\(round): \(error)")
        }
        await line.connection.close()
      } catch {
        failures.append("\(round): \(error)")
      }
    }
    #expect(failures == [])
  }

  @Test("hawse call, probe and ping speak gRPC to a guest")
  func hawse() async throws {
    let address = "\(try GuestBench.booted().guest.goShim)"
    #expect(address.hasPrefix("grpc+hvsock:///"))
    try await TransportBench.use { bench in
      let call = try await bench.run(
        "hawse", "call", address, "containerd.task.v3.Task/Connect", "--data", #"{"id": "x"}"#)
      #expect(call.code == 0 && call.err == "" && call.out.contains(#""go""#), "\(call)")
      let probe = try await bench.run("hawse", "probe", "--json", "--grpc", address)
      #expect(probe.code == 0 && probe.out.contains(#""protocol" : "grpc""#), "\(probe)")
      let ping = try await bench.run("hawse", "ping", "-c", "5", "-i", "0", address)
      #expect(ping.code == 0 && ping.out.contains("5 sent, 5 answered, 0% lost"), "\(ping)")
    }
  }

  @Test(
    "Go's client in the guest is answered by our servers on the host",
    arguments: TransportAddress.RPCProtocol.allCases)
  func servers(_ rpc: TransportAddress.RPCProtocol) async throws {
    SandboxPeer.expect(try await GuestBench.booted().answers(rpc))
  }
}
