import Foundation
import Glibc
import Hawsepipe
import NIOCore
import TTRPC
import Testing
import TransportCore

@Suite("hawse probe")
struct HawseProbeTests {
  private struct Report: Decodable {
    struct Phase: Decodable {
      var phase: String
      var milliseconds: Double
    }
    struct Peer: Decodable { var description: String }
    struct TLS: Decodable {
      struct Certificate: Decodable {
        var subject: String
        var issuer: String
        var notAfter: String
        var daysLeft: Int
      }
      var version: String
      var isVerified: Bool
      var dnsNames: [String]
      var ipAddresses: [String]
      var chain: [Certificate]
    }
    struct Failure: Decodable {
      var code: String
      var phase: String?
      var errno: Int32?
      var message: String
      var hint: String?
      var attempts: [String]
    }

    var address: String
    var reachable: Bool
    var milliseconds: Double
    var phases: [Phase]
    var peer: Peer?
    var tls: TLS?
    var carriesHalfClose: Bool?
    var warnings: [String]
    var failure: Failure?

    init(_ text: String) throws {
      self = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
    }
  }

  private struct Change: Decodable {
    struct Probe: Decodable { var reachable: Bool }
    var time: String
    var probe: Probe
  }

  private func keys(_ text: String) throws -> Set<String> {
    let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
    return Set(try #require(object as? [String: Any]).keys)
  }

  // MARK: Failures

  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var arguments: [String]
    var phase: String
    var code = "connectFailed"
    /// In the paragraph for people: what is wrong, and what to do.
    var essentials: [String]
    var testDescription: String { name }
  }

  static let failures: [Row] = [
    Row(
      name: "not there", arguments: ["unix://DIR/none.sock"], phase: "connect",
      essentials: ["ENOENT", "Check that the server runs"]),
    Row(
      name: "nobody listens", arguments: ["tcp://127.0.0.1:1"], phase: "connect",
      essentials: ["ECONNREFUSED", "Start the server"]),
    Row(
      name: "mute under TLS",
      arguments: [
        "--timeout", "0.5", "--tls-profile", "pki/client.profile", "tls://127.0.0.1:MUTE",
      ],
      phase: "tls", code: "timedOut", essentials: ["500 ms", "speaks TLS", "--timeout"]),
    Row(
      name: "mute under a ping",
      arguments: ["--timeout", "0.5", "--ttrpc", "tcp://127.0.0.1:MUTE"],
      phase: "probe", code: "timedOut", essentials: ["500 ms", "speaks ttrpc", "--timeout"]),
    Row(
      name: "another protocol", arguments: ["--ttrpc", "exec://?arg=cat"], phase: "probe",
      essentials: ["ttrpc", "See what listens there"]),
    Row(
      name: "an unknown CA", arguments: ["tls://127.0.0.1:SERVER"], phase: "tls",
      essentials: ["unknown CA", "ca=", "--tls-profile"]),
    Row(
      name: "a CA of others",
      arguments: ["--tls-profile", "others/client.profile", "tls://127.0.0.1:SERVER"],
      phase: "tls", essentials: ["CN=hawsepipe", "--tls-profile"]),
    Row(
      name: "another name",
      arguments: [
        "--tls-profile", "pki/client.profile", "tls://127.0.0.1:SERVER?servername=build-7",
      ], phase: "tls", essentials: ["is for localhost", "not build-7", "name="]),
    Row(
      name: "TLS without an answer in TLS",
      arguments: [
        "--timeout", "20", "--tls-profile", "pki/client.profile",
        "tls+unix://DIR/echo.sock?servername=localhost",
      ],
      phase: "tls", essentials: ["TLS"]),
    Row(
      name: "a peer of another user", arguments: ["--peer-uid", "4711", "unix://DIR/echo.sock"],
      phase: "identity", code: "refusedByPolicy", essentials: ["uid", "not allowed"]),
  ]

  @Test(
    "says in which phase it failed and what to do, for people and programs",
    .timeLimit(.minutes(5)))
  func fails() async throws {
    try await TransportBench.use { bench in
      try await bench.makeCertificates()
      try await bench.makeCertificates("others")
      let server = try await bench.server("-verify_return_error")
      let mute = try bench.mute()
      try await bench.socat("echo.sock", "EXEC:cat")
      let fill = { (text: String) in
        text.replacing("DIR", with: bench.directory).replacing("MUTE", with: "\(mute)")
          .replacing("SERVER", with: "\(server)")
      }
      for row in Self.failures {
        let arguments = row.arguments.map(fill)
        let plain = try await bench.run(["hawse", "probe"] + arguments)
        expectError(plain, code: 1, row.essentials, row.name)
        let json = try await bench.run(["hawse", "probe", "--json"] + arguments)
        #expect(json.code == 1 && json.err == "", "\(row.name): \(json)")
        let report = try Report(json.out)
        let failure = try #require(report.failure, "\(row.name)")
        #expect(!report.reachable && report.phases.isEmpty, "\(row.name)")
        #expect(failure.phase == row.phase && failure.code == row.code, "\(row.name): \(failure)")
        #expect(failure.attempts.count == 1, "\(row.name): \(failure)")
        #expect(
          try keys(json.out) == [
            "address", "failure", "milliseconds", "phases", "reachable", "warnings",
          ], "\(row.name)")
      }
    }
  }

  // MARK: Success

  @Test(
    "shows every phase, the peer and its certificates with their expiry", .timeLimit(.minutes(2)))
  func certificates() async throws {
    try await TransportBench.use { bench in
      try await bench.makeCertificates()
      let port = try await bench.server("-Verify", "1")
      let address = "tls://127.0.0.1:\(port)"
      let probe = ["hawse", "probe", "--tls-profile", "pki/client.profile"]
      let json = try await bench.run(probe + ["--json", address])
      #expect(json.code == 0, "\(json)")
      let report = try Report(json.out)
      #expect(report.address == address && report.reachable && report.failure == nil)
      #expect(report.phases.map(\.phase) == ["connect", "tls", "identity"])
      #expect(report.phases.allSatisfy { $0.milliseconds >= 0 })
      #expect(
        try keys(json.out) == [
          "address", "carriesHalfClose", "milliseconds", "peer", "phases", "reachable", "tls",
          "warnings",
        ])
      let tls = try #require(report.tls)
      #expect(tls.version == "1.3" && tls.isVerified)
      #expect(tls.dnsNames.contains("localhost") && tls.ipAddresses.contains("127.0.0.1"))
      let own = try #require(tls.chain.first)
      #expect(own.subject == "CN=hawsepipe server" && own.issuer == "CN=hawsepipe private CA")
      #expect(own.daysLeft == 364)
      let dates = try await bench.run(
        "openssl", "x509", "-in", "pki/server.pem", "-noout", "-enddate", "-dateopt", "iso_8601")
      #expect(dates.out == "notAfter=\(own.notAfter.replacing("T", with: " "))\n")
      let plain = try await bench.run(probe + [address])
      #expect(plain.code == 0 && plain.err == "", "\(plain)")
      for part in [
        "address      \(address)\n", "\nconnect ", "\ntls ", "\nin all ", "\npeer ", "TLS 1.3",
        ", verified\n", "\ncertificate  CN=hawsepipe server, by CN=hawsepipe private CA, until ",
        " (364 days)\n",
      ] {
        #expect(plain.out.contains(part), "\(part): \(plain)")
      }
    }
  }

  @Test(
    "warns of a certificate that soon expires, and of one that is not verified",
    .timeLimit(.minutes(2)))
  func warnings() async throws {
    try await TransportBench.use { bench in
      let made = try await bench.run("hawse", "tls", "init", "--days", "3", "pki")
      try #require(made.code == 0, "\(made)")
      let port = try await bench.server()
      let result = try await bench.run(
        "hawse", "probe", "--json", "tls://127.0.0.1:\(port)?verify=none")
      #expect(result.code == 0, "\(result)")
      let warnings = try Report(result.out).warnings
      #expect(warnings.contains { $0.contains("not verified") })
      #expect(warnings.contains { $0.contains("CN=hawsepipe server expires at") }, "\(warnings)")
    }
  }

  @Test("--ttrpc is answered by a ttrpc server, whatever services it has", .timeLimit(.minutes(2)))
  func ping() async throws {
    try await TransportBench.use { bench in
      let registry = TransportRegistry.standard
      let address = "unix://\(bench.directory)/ttrpc.sock"
      let listener = try await registry.listen(at: registry.parse(address))
      let serving = Task { try await TTRPCServer().run(on: listener) }
      let result = try await bench.run("hawse", "probe", "--json", "--ttrpc", address)
      #expect(result.code == 0, "\(result)")
      #expect(try Report(result.out).phases.map(\.phase) == ["connect", "identity", "probe"])
      serving.cancel()
      _ = await serving.result
    }
  }

  @Test("--wait waits until somebody listens", .timeLimit(.minutes(2)))
  func wait() async throws {
    try await TransportBench.use { bench in
      let probe = try bench.start(
        "hawse", "probe", "--wait", "--timeout", "60", "unix://\(bench.directory)/late.sock")
      try await Task.sleep(for: .milliseconds(300))
      try await bench.socat("late.sock", "EXEC:cat")
      let result = try await probe.result()
      #expect(result.code == 0 && result.out.contains("\npeer "), "\(result)")
    }
  }

  @Test("--watch says what changes, and nothing else, until a signal", .timeLimit(.minutes(2)))
  func watch() async throws {
    try await TransportBench.use { bench in
      let probe = try bench.start(
        "hawse", "probe", "--watch", "--interval", "0.05", "--json",
        "unix://\(bench.directory)/late.sock")
      _ = try await bench.line(of: probe, with: "\"reachable\":false")
      let peer = try await bench.socat("late.sock", "EXEC:cat")
      _ = try await bench.line(of: probe, with: "\"reachable\":true")
      try await peer.kill()
      try await eventually("it is seen to go") {
        probe.out.split(separator: "\n").count { $0.contains("\"reachable\":false") } == 2
      }
      try await Task.sleep(for: .milliseconds(300))
      probe.signal(SIGTERM)
      let result = try await probe.result()
      #expect(result.code == 0 && result.err == "", "\(result)")
      let changes = try result.out.split(separator: "\n").map {
        try JSONDecoder().decode(Change.self, from: Data($0.utf8)).probe.reachable
      }
      #expect(changes == [false, true, false], "\(result)")
    }
  }
}
