import Foundation
import Glibc
import Testing

@Suite("hawse proxy")
struct HawseProxyTests {
  private func statistics(_ process: HawseProcess) async throws -> ProxyLine.Statistics {
    let before = try ProxyLine.all(process.out).count
    process.signal(SIGUSR1)
    let found = Guarded<ProxyLine.Statistics?>(nil)
    try await eventually("the counters: \(process.out)") {
      // The last line may not be whole yet.
      guard process.out.hasSuffix("\n") else { return false }
      let lines = try ProxyLine.all(process.out)
      guard lines.count > before, let last = lines.last?.statistics else { return false }
      found.set(last)
      return true
    }
    return try #require(found.value)
  }

  private func descriptors(_ process: HawseProcess) -> Int {
    HostFiles.names(in: "/proc/\(process.pid)/fd").count
  }

  @Test(
    "puts a unix socket behind mTLS: openssl s_client with a certificate passes bytes, and none without",
    .timeLimit(.minutes(2)))
  func mutualTLS() async throws {
    try await TransportBench.use { bench in
      try await bench.makeCertificates()
      try await bench.socat("echo.sock", "EXEC:cat")
      let (proxy, address) = try await bench.proxy(
        "--tls-profile", "pki/server.profile", "tls://127.0.0.1:0",
        "unix://\(bench.directory)/echo.sock")
      #expect(address.hasPrefix("tls://127.0.0.1:") && !address.hasSuffix(":0"))
      let place = String(address.dropFirst("tls://".count))
      let client = [
        "openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", "pki/ca.pem",
        "-verify_hostname", "localhost", "-connect", place,
      ]
      for (number, version) in ["-tls1_3", "-tls1_2"].enumerated() {
        let input = try bench.pipe()
        let known = try bench.start(
          client + [version, "-cert", "pki/client.pem", "-key", "pki/client.key"],
          input: input.read)
        try #require(write(input.write, "over TLS\n", 9) == 9)
        _ = try await bench.line(of: known, with: "over TLS")
        bench.close(input.write)
        try await known.kill()
        let unknown = try await bench.run(client + [version], input: Array("let me in\n".utf8))
        #expect(unknown.code != 0 && !unknown.out.contains("let me in"), "\(unknown)")
        try await eventually("both are gone") { try await statistics(proxy).open == 0 }
        let counted = try await statistics(proxy)
        #expect(counted.total == number + 1 && counted.bytesFromNear == 9 * (number + 1))
        #expect(counted.bytesFromFar == counted.bytesFromNear)
      }
      proxy.signal(SIGTERM)
      #expect(try await proxy.result().code == 0)
    }
  }

  @Test("reads its certificates again at SIGHUP, and keeps what works", .timeLimit(.minutes(2)))
  func reload() async throws {
    try await TransportBench.use { bench in
      try await bench.makeCertificates()
      try await bench.socat("echo.sock", "EXEC:cat")
      let (proxy, address) = try await bench.proxy(
        "--tls-profile", "pki/server.profile", "tls://127.0.0.1:0",
        "unix://\(bench.directory)/echo.sock")
      func echoes() async throws -> Bool {
        let result = try await bench.run(
          "hawse", "dial", "--tls-profile", "pki/client.profile",
          address.replacing("127.0.0.1", with: "localhost"), input: Array("abc\n".utf8))
        return result.code == 0 && result.out == "abc\n"
      }
      func reloaded(_ count: Int) async throws -> ProxyLine {
        proxy.signal(SIGHUP)
        let found = Guarded<ProxyLine?>(nil)
        try await eventually("it has reloaded: \(proxy.out)") {
          guard proxy.out.hasSuffix("\n") else { return false }
          let lines = try ProxyLine.all(proxy.out).filter { $0.event == "reloaded" }
          found.set(lines.last)
          return lines.count == count
        }
        return try #require(found.value)
      }
      #expect(try await echoes())
      #expect(try await reloaded(1).problems == [])
      let path = "\(bench.directory)/pki/server.pem"
      let good = HostFiles.bytes(path)
      try Data("no certificate".utf8).write(to: URL(filePath: path))
      let problems = try #require(try await reloaded(2).problems)
      #expect(problems.count == 1 && problems[0].contains("server.pem"), "\(problems)")
      #expect(try await echoes())
      try Data(good).write(to: URL(filePath: path))
      #expect(try await reloaded(3).problems == [])
      #expect(try await echoes())
      proxy.signal(SIGTERM)
      #expect(try await proxy.result().code == 0)
    }
  }

  @Test(
    "dials TLS for who speaks none, and the environment names the profile", .timeLimit(.minutes(2)))
  func toTLS() async throws {
    try await TransportBench.use { bench in
      try await bench.makeCertificates()
      let port = try await bench.server("-Verify", "1")
      let (_, address) = try await bench.proxy(
        "unix://\(bench.directory)/near.sock", "tls://localhost:\(port)",
        environment: ["HAWSE_TLS_PROFILE=\(bench.directory)/pki/client.profile"])
      let result = try await bench.run("hawse", "dial", address, input: Array("abc\n".utf8))
      #expect(result.code == 0 && result.out == "cba\n", "\(result)")
    }
  }

  @Test(
    "passes an end of one direction on, over any pair of transports", .timeLimit(.minutes(2)),
    arguments: ["unix", "tcp"], ["unix", "tcp", "exec"])
  func halfClose(_ near: String, _ far: String) async throws {
    try await TransportBench.use { bench in
      var target = "exec://?arg=sort"
      if far != "exec" {
        try await bench.socat("sort.sock", "EXEC:sort")
        target = "unix://\(bench.directory)/sort.sock"
      }
      if far == "tcp" { target = try await bench.proxy("tcp://127.0.0.1:0", target).address }
      let listen = near == "tcp" ? "tcp://127.0.0.1:0" : "unix://\(bench.directory)/near.sock"
      let (_, address) = try await bench.proxy(listen, target)
      let place =
        near == "tcp"
        ? "TCP:" + address.dropFirst("tcp://".count)
        : "UNIX-CONNECT:" + address.dropFirst("unix://".count)
      let result = try await bench.run(
        "socat", "-t", "30", "-", place, input: Array("b\nc\na\n".utf8))
      #expect(result.code == 0 && result.out == "a\nb\nc\n", "\(result)")
    }
  }

  @Test(
    "a far side that is not there costs only its peer, and serves when it is",
    .timeLimit(.minutes(2)))
  func farAway() async throws {
    try await TransportBench.use { bench in
      let near = "\(bench.directory)/near.sock"
      let (proxy, _) = try await bench.proxy(
        "unix://\(near)", "unix://\(bench.directory)/far.sock")
      let early = try await bench.run("socat", "-t", "30", "-", "UNIX-CONNECT:\(near)")
      #expect(early.out == "", "\(early)")
      try await eventually("it is counted") { try await statistics(proxy).failed == 1 }
      #expect(proxy.err.contains("far.sock") && proxy.err.contains("there is no such socket"))
      try await bench.socat("far.sock", "EXEC:cat")
      let late = try await bench.run(
        "socat", "-t", "30", "-", "UNIX-CONNECT:\(near)", input: Array("hi\n".utf8))
      #expect(late.out == "hi\n", "\(late)")
      try await eventually("it is over") { try await statistics(proxy).open == 0 }
      let counted = try await statistics(proxy)
      #expect(counted.total == 2 && counted.failed == 1 && counted.broken == 0, "\(counted)")
    }
  }

  @Test("50 connections leave no descriptor behind", .timeLimit(.minutes(2)))
  func descriptorsLeft() async throws {
    try await TransportBench.use { bench in
      let near = "\(bench.directory)/near.sock"
      try await bench.socat("echo.sock", "EXEC:cat")
      let (proxy, _) = try await bench.proxy(
        "unix://\(near)", "unix://\(bench.directory)/echo.sock")
      let once = { () async throws -> Bool in
        try await bench.run(
          "socat", "-t", "30", "-", "UNIX-CONNECT:\(near)", input: Array("x".utf8)
        ).out == "x"
      }
      // What is made once is there now.
      for _ in 0..<4 { #expect(try await once()) }
      try await eventually("they are over") { try await statistics(proxy).open == 0 }
      let before = descriptors(proxy)
      for _ in 0..<50 { #expect(try await once()) }
      try await eventually("\(before) descriptors, and not \(descriptors(proxy))") {
        descriptors(proxy) <= before
      }
    }
  }

  @Test("at the most connections a further peer waits for one to end", .timeLimit(.minutes(2)))
  func limit() async throws {
    try await TransportBench.use { bench in
      let near = "\(bench.directory)/near.sock"
      let (proxy, _) = try await bench.proxy(
        "--max-connections", "1", "unix://\(near)", "exec://?arg=cat")
      let (first, second) = (try bench.pipe(), try bench.pipe())
      let one = try bench.start("hawse", "dial", "unix://\(near)", input: first.read)
      try #require(write(first.write, "one\n", 4) == 4)
      _ = try await bench.line(of: one, with: "one")
      let two = try bench.start("hawse", "dial", "unix://\(near)", input: second.read)
      try #require(write(second.write, "two\n", 4) == 4)
      try await Task.sleep(for: .milliseconds(300))
      #expect(two.out == "")
      #expect(try await statistics(proxy).open == 1)
      bench.close(first.write)
      #expect(try await one.result().code == 0)
      _ = try await bench.line(of: two, with: "two")
      bench.close(second.write)
      #expect(try await two.result().code == 0)
    }
  }

  @Test(
    "SIGTERM lets connections end by themselves and takes no more; what it made is removed",
    .timeLimit(.minutes(2)))
  func drain() async throws {
    try await TransportBench.use { bench in
      let near = "\(bench.directory)/near.sock"
      let (proxy, _) = try await bench.proxy("--drain", "60", "unix://\(near)", "exec://?arg=cat")
      let input = try bench.pipe()
      let dial = try bench.start("hawse", "dial", "unix://\(near)", input: input.read)
      try #require(write(input.write, "one\n", 4) == 4)
      _ = try await bench.line(of: dial, with: "one")
      proxy.signal(SIGTERM)
      _ = try await bench.line(of: proxy, with: "stopping")
      try await eventually("the socket is gone") { !HostFiles.exists(near) }
      try #require(write(input.write, "two\n", 4) == 4)
      _ = try await bench.line(of: dial, with: "two")
      bench.close(input.write)
      #expect(try await dial.result().code == 0)
      let result = try await proxy.result()
      #expect(result.code == 0, "\(result)")
      let last = try #require(try ProxyLine.all(result.out).last)
      #expect(last.event == "stopped")
      let total = ProxyLine.Statistics(
        bytesFromNear: 8, bytesFromFar: 8, open: 0, total: 1, refused: 0, failed: 0, broken: 0)
      #expect(last.statistics == total)
    }
  }

  @Test(
    "a second signal ends all at once, as does the end of the time to drain",
    .timeLimit(.minutes(2)), arguments: [true, false])
  func atOnce(_ isSecondSignal: Bool) async throws {
    try await TransportBench.use { bench in
      let near = "\(bench.directory)/near.sock"
      let (proxy, _) = try await bench.proxy(
        "--drain", isSecondSignal ? "600" : "0.2", "unix://\(near)", "exec://?arg=cat")
      let input = try bench.pipe()
      let dial = try bench.start("hawse", "dial", "unix://\(near)", input: input.read)
      try #require(write(input.write, "one\n", 4) == 4)
      _ = try await bench.line(of: dial, with: "one")
      proxy.signal(SIGINT)
      _ = try await bench.line(of: proxy, with: "stopping")
      if isSecondSignal { proxy.signal(SIGINT) }
      let result = try await proxy.result()
      #expect(result.code == 0, "\(result)")
      #expect(try ProxyLine.all(result.out).last?.statistics?.broken == 1)
      _ = try await dial.result()
    }
  }

  @Test("an idle connection is ended at the limit", .timeLimit(.minutes(2)))
  func idle() async throws {
    try await TransportBench.use { bench in
      let near = "\(bench.directory)/near.sock"
      let (proxy, _) = try await bench.proxy(
        "--idle-limit", "0.2", "unix://\(near)", "exec://?arg=cat")
      let input = try bench.pipe()
      let dial = try bench.start(
        "hawse", "dial", "--linger", "0", "unix://\(near)", input: input.read)
      _ = try await dial.result()
      try await eventually("it is over") { try await statistics(proxy).broken == 1 }
    }
  }

  @Test(
    "prints counters as often as it is told, for people and for programs", .timeLimit(.minutes(2)))
  func counters() async throws {
    try await TransportBench.use { bench in
      let near = "unix://\(bench.directory)/near.sock"
      let plain = try bench.start("hawse", "proxy", "--stats", "0.05", near, "exec://?arg=cat")
      #expect(try await bench.line(of: plain, with: "listening") == "listening at \(near)")
      #expect(try await bench.run("hawse", "dial", near, input: [1]).code == 0)
      _ = try await bench.line(of: plain, with: "0 open, 1 in all, 1 B to the far side, 1 B back")
      plain.signal(SIGTERM)
      #expect(try await plain.result().out == "listening at \(near)\n")
      let (json, _) = try await bench.proxy("--stats", "0.05", near, "exec://?arg=cat")
      try await eventually("lines") {
        json.out.split(separator: "\n").count { $0.contains("\"event\":\"statistics\"") } >= 3
      }
      json.signal(SIGTERM)
      let result = try await json.result()
      #expect(result.code == 0 && result.err == "", "\(result)")
      #expect(try ProxyLine.all(result.out).last?.event == "stopped")
    }
  }

  static let failures: [([String], [String])] = [
    (["unix:///proc/none/x.sock", "exec://?arg=cat"], ["/proc/none", "cannot listen"]),
    (["unix://DIR/file", "exec://?arg=cat"], ["DIR/file", "not a socket"]),
    (["tcp://0.0.0.0:0", "exec://?arg=cat"], ["0.0.0.0", "tls+tcp"]),
    (["exec://?arg=cat", "unix://DIR/far"], ["exec", "no listener"]),
    (["unix://DIR/near", "carrier://x"], ["carrier"]),
    (["unix://DIR/near", "unix://DIR/far?x=1"], ["\"x\""]),
    (["tls://127.0.0.1:0", "unix://DIR/far"], ["tls://127.0.0.1:0", "cert"]),
    (
      ["--tls-profile", "DIR/file", "tls://127.0.0.1:0", "unix://DIR/far"], ["DIR/file", "profile"]
    ),
  ]

  @Test("what it cannot do it says at once, and nothing is left bound", .timeLimit(.minutes(2)))
  func errors() async throws {
    try await TransportBench.use { bench in
      try put("no socket", "\(bench.directory)/file")
      let before = HostFiles.tree(bench.directory)
      for (arguments, essentials) in Self.failures {
        let fill = { (text: String) in text.replacing("DIR", with: bench.directory) }
        let result = try await bench.run(["hawse", "proxy"] + arguments.map(fill))
        expectError(result, code: 1, essentials.map(fill), "\(arguments)")
        #expect(HostFiles.tree(bench.directory) == before, "\(arguments)")
      }
    }
  }
}
