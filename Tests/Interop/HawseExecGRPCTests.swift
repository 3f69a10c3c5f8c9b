import Glibc
import Hawsepipe
import Testing
import TransportCore

/// gRPC over a command's standard streams, as far as `hawse serve`: a controller of another host is
/// asked without a port of its own.
@Suite("hawse call over grpc+exec", .timeLimit(.minutes(3)))
struct HawseExecGRPCTests {
  private static let check = "grpc.health.v1.Health/Check"
  private static let create = "containerd.services.sandbox.v1.Controller/Create"

  @Test(
    "a command that dials the controller's socket: answers, refusals, and as long a life as a call")
  func command() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let server = try await HawseServer.start(fixture)
      let dial =
        "grpc+exec://?arg=\(HawseFixture.executable)&arg=dial-stdio"
        + "&arg=unix://\(fixture.state)/control/grpc.sock"
      for _ in 0..<3 {
        let answer = try await fixture.bare(["call", dial, Self.check])
        #expect(answer.code == 0 && answer.out.contains("SERVING"), "\(answer)")
      }
      let refused = try await fixture.bare([
        "call", "--namespace", fixture.namespace, dial, Self.create, "--data",
        #"{"sandboxId": "../x"}"#,
      ])
      #expect(refused.code == 1 && refused.err.contains("InvalidArgument"), "\(refused)")
      let ping = try await fixture.bare(["ping", "-c", "2", "-i", "0", dial])
      #expect(ping.code == 0 && ping.out.contains("2 answered"), "\(ping)")
      try await server.stop()
      // The command is there and its peer is not: its own words are told.
      let gone = try await fixture.bare(["call", "--connect-timeout", "20", dial, Self.check])
      #expect(gone.code == 1 && gone.err.contains("control/grpc.sock"), "\(gone)")
    }
  }

  @Test("ssh to a host where the controller is")
  func ssh() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let server = try await HawseServer.start(fixture)
      try await SSHServer.use { host in
        var address = host.address([
          HawseFixture.executable, "dial-stdio", "unix://\(fixture.state)/control/grpc.sock",
        ])
        address.rpc = .grpc
        let answer = try await fixture.bare([
          "call", "--connect-timeout", "60", address.text, Self.check,
        ])
        #expect(answer.code == 0 && answer.out.contains("SERVING"), "\(answer)")
      }
      try await server.stop()
    }
  }
}
