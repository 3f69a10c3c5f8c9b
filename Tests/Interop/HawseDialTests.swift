import Glibc
import ProcessSupervision
import Testing

@Suite("hawse dial")
struct HawseDialTests {
  enum Peer: String, CaseIterable, Sendable { case unix, tcp, exec, tls, tlsOverUnix }

  /// The address of a peer that sends every line back, and what it makes of it.
  private func peer(
    _ kind: Peer, _ bench: TransportBench
  ) async throws -> (address: String, answer: String) {
    switch kind {
    case .unix:
      try await bench.socat("echo.sock", "EXEC:cat")
      return ("unix://\(bench.directory)/echo.sock", "hello\n")
    case .tcp:
      let (_, address) = try await bench.proxy("tcp://127.0.0.1:0", "exec://?arg=cat")
      return (address, "hello\n")
    case .exec: return ("exec://?arg=cat", "hello\n")
    case .tls:
      try await bench.makeCertificates()
      return ("tls://127.0.0.1:\(try await bench.server("-Verify", "1"))", "olleh\n")
    case .tlsOverUnix:
      try await bench.makeCertificates()
      let path = "\(bench.directory)/tls.sock"
      _ = try bench.start(
        "openssl", "s_server", "-rev", "-unix", path, "-cert", "pki/server.pem", "-key",
        "pki/server.key", "-CAfile", "pki/ca.pem", "-Verify", "1")
      try await eventually("it listens") { HostFiles.type(path) == S_IFSOCK }
      return ("tls+unix://\(path)?servername=localhost", "olleh\n")
    }
  }

  @Test(
    "passes standard input on with its end, and the answer back, over every transport",
    .timeLimit(.minutes(2)), arguments: Peer.allCases, ["dial", "dial-stdio"])
  func bothWays(_ kind: Peer, _ command: String) async throws {
    try await TransportBench.use { bench in
      let (address, answer) = try await peer(kind, bench)
      let profile =
        HostFiles.exists("\(bench.directory)/pki") ? ["--tls-profile", "pki/client.profile"] : []
      let result = try await bench.run(
        ["hawse", command] + profile + [address], input: Array("hello\n".utf8))
      #expect(result.code == 0 && result.out == answer && result.err == "", "\(result)")
    }
  }

  @Test(
    "gets the answer of a peer that gives it behind the end of its input", .timeLimit(.minutes(2)))
  func halfClose() async throws {
    try await TransportBench.use { bench in
      try await bench.socat("sort.sock", "EXEC:sort")
      let result = try await bench.run(
        "hawse", "dial", "unix://\(bench.directory)/sort.sock", input: Array("b\nc\na\n".utf8))
      #expect(result.code == 0 && result.out == "a\nb\nc\n", "\(result)")
    }
  }

  @Test("loses nothing of 8 MiB there and back", .timeLimit(.minutes(2)))
  func large() async throws {
    try await TransportBench.use { bench in
      var bytes: [UInt8] = []
      for number in 0..<(8 << 17) { bytes += Array("\(1_000_000 + number)\n".utf8) }
      try await bench.socat("echo.sock", "EXEC:cat")
      let result = try await bench.run(
        "hawse", "dial", "unix://\(bench.directory)/echo.sock", input: bytes)
      #expect(result.code == 0 && result.err == "")
      // Not through `==` of an expectation, which would print both.
      let isEqual = Array(result.out.utf8) == bytes
      #expect(isEqual)
    }
  }

  @Test("a descriptor that it inherits is dialled as any address is", .timeLimit(.minutes(2)))
  func descriptor() async throws {
    try await TransportBench.use { bench in
      var ends: [Int32] = [-1, -1]
      let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
      try #require(socketpair(AF_UNIX, type, 0, &ends) == 0)
      defer { close(ends[0]) }
      var command = Command(
        HawseFixture.executable, arguments: ["dial", "fd://7"],
        environment: ["HAWSE_TEST=\(bench.directory)"])
      command.descriptors[7] = ends[1]
      let child = Task { [command] in
        try await command.run(input: Array("ping".utf8), timeout: .seconds(60))
      }
      // Read in the kernel's time, by which the child has it.
      try await eventually("the bytes are there") {
        var bytes = [UInt8](repeating: 0, count: 8)
        return recv(ends[0], &bytes, 8, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 4
      }
      close(ends[1])
      try #require(send(ends[0], "pong", 4, Int32(MSG_NOSIGNAL)) == 4)
      shutdown(ends[0], Int32(SHUT_WR))
      let output = try await child.value
      #expect(output.status.code == 0 && output.standardOutput == Array("pong".utf8))
    }
  }

  @Test("ends when the peer has, though standard input is open", .timeLimit(.minutes(2)))
  func peersEnd() async throws {
    try await TransportBench.use { bench in
      let input = try bench.pipe()
      let process = try bench.start(
        "hawse", "dial", "--linger", "0.1", "exec://?arg=echo&arg=hi", input: input.read)
      let result = try await process.result()
      #expect(result.code == 0 && result.out == "hi\n", "\(result)")
    }
  }

  @Test(
    "dial-stdio goes on sending to a peer that has ended its output, until its input ends",
    .timeLimit(.minutes(2)))
  func oneWay() async throws {
    try await TransportBench.use { bench in
      let got = "\(bench.directory)/got"
      try await bench.socat("half.sock", "SYSTEM:'echo hi; exec 1>&-; cat >\(got)',pipes")
      let input = try bench.pipe()
      let process = try bench.start(
        "hawse", "dial-stdio", "unix://\(bench.directory)/half.sock", input: input.read)
      _ = try await bench.line(of: process, with: "hi")
      try await Task.sleep(for: .milliseconds(100))
      try #require(write(input.write, "late", 4) == 4)
      bench.close(input.write)
      let result = try await process.result()
      #expect(result.code == 0, "\(result)")
      try await eventually("it arrives") { HostFiles.text(got) == "late" }
    }
  }

  @Test("ends at once, and says so, when nobody reads its output", .timeLimit(.minutes(2)))
  func outputGone() async throws {
    try await TransportBench.use { bench in
      let output = try bench.pipe()
      let errors = "\(bench.directory)/errors"
      let file = open(errors, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
      defer { close(file) }
      let input = try bench.pipe()
      var command = Command(
        HawseFixture.executable, arguments: ["dial", "exec://?arg=yes"],
        environment: ["PATH=/usr/bin:/bin", "HAWSE_TEST=\(bench.directory)"])
      command.descriptors = [0: input.read, 1: output.write, 2: file]
      let child = try command.spawn()
      bench.close(output.read)
      bench.close(output.write)
      let status = try await within(.seconds(60), "its end") { try await child.wait() }
      #expect(status.code == 1)
      #expect(HostFiles.text(errors).contains("standard output: Broken pipe"))
    }
  }

  @Test(
    "a signal ends it, and with it the command that it dialled", .timeLimit(.minutes(2)),
    arguments: [SIGINT, SIGTERM])
  func signals(_ number: Int32) async throws {
    try await TransportBench.use { bench in
      let input = try bench.pipe()
      let process = try bench.start(
        "hawse", "dial", "exec://?arg=sh&arg=-c&arg=echo%20up;exec%20cat", input: input.read)
      _ = try await bench.line(of: process, with: "up")
      process.signal(number)
      let result = try await process.result()
      #expect(result.status == .signalled(number), "\(result)")
    }
  }

  static let failures: [([String], Int32, [String])] = [
    (["unix://DIR/none.sock"], 1, ["DIR/none.sock", "connect", "ENOENT", "Check that the server"]),
    (["tcp://127.0.0.1:1"], 1, ["ECONNREFUSED", "port 1"]),
    (["tcp://192.0.2.1:80"], 1, ["tls+tcp"]),
    (["exec://?arg=false"], 1, ["exited with code 1"]),
    (["exec://?arg=DIR/none"], 1, ["DIR/none"]),
    (["carrier://x"], 1, ["carrier", "expected one of"]),
    (["/run/x.sock"], 1, ["://"]),
    (["unix://DIR/none.sock?x=1"], 1, ["\"x\"", "does not understand"]),
    (["--tls-profile", "DIR/none", "tls://localhost:1"], 1, ["DIR/none", "profile"]),
    (["--wait", "--timeout", "0.3", "unix://DIR/none.sock"], 1, ["in time", "Tried", "times"]),
  ]

  @Test("what fails is one paragraph that says where, why and what to do", .timeLimit(.minutes(5)))
  func errors() async throws {
    try await TransportBench.use { bench in
      let input = try bench.pipe()
      for command in ["dial", "dial-stdio"] {
        for (arguments, code, essentials) in Self.failures {
          let fill = { (text: String) in text.replacing("DIR", with: bench.directory) }
          let result = try await bench.start(
            ["hawse", command] + arguments.map(fill), input: input.read
          ).result()
          expectError(result, code: code, essentials.map(fill), "\(command) \(arguments)")
        }
      }
    }
  }

  @Test(
    "a command line that is wrong is answered with its usage", .timeLimit(.minutes(2)),
    arguments: [
      ["dial"], ["dial", "a", "b"], ["dial", "--timeout", "0", "unix:///x"],
      ["dial", "--timeout", "inf", "unix:///x"], ["dial", "--linger=-1", "unix:///x"],
      ["dial", "--peer-anyone", "--peer-uid", "1", "unix:///x"],
      ["dial", "--peer-uid=-1", "unix:///x"],
      ["probe"], ["probe", "--interval", "0", "unix:///x"], ["probe", "--ttrpc", "grpc+unix:///x"],
      ["proxy", "unix:///x"], ["proxy", "--max-connections", "0", "unix:///x", "unix:///y"],
      ["proxy", "--idle-limit", "nan", "unix:///x", "unix:///y"],
      ["proxy", "--lifetime-limit", "0", "unix:///x", "unix:///y"],
      ["proxy", "--drain=-1", "unix:///x", "unix:///y"],
      ["proxy", "--stats", "0", "unix:///x", "unix:///y"],
      ["proxy", "--allow-anyone", "--allow-uid", "0", "unix:///x", "unix:///y"],
    ])
  func usage(_ arguments: [String]) async throws {
    try await TransportBench.use { bench in
      let result = try await bench.run(["hawse"] + arguments)
      #expect(result.code == 64 && result.out == "", "\(result)")
      #expect(result.err.hasPrefix("Error: ") && result.err.contains("Usage: hawse"), "\(result)")
    }
  }

  @Test(
    "every command explains itself with examples and its exit status", .timeLimit(.minutes(2)),
    arguments: [["dial"], ["dial-stdio"], ["probe"], ["proxy"], ["tls", "init"]])
  func help(_ command: [String]) async throws {
    try await TransportBench.use { bench in
      let result = try await bench.run(["hawse"] + command + ["--help"])
      #expect(result.code == 0)
      for part in ["EXAMPLES", "hawse \(command.joined(separator: " ")) ", "EXIT STATUS"] {
        #expect(result.out.contains(part), "\(part)")
      }
    }
  }
}
