import Glibc
import ProcessSupervision
import Testing

/// The forms of standard input and output that containerd's client has, but for fifos, which every other
/// test has.
@Suite(
  "containerd's forms of stdio through our shim", .containerdReleases, .timeLimit(.minutes(3)))
struct ContainerdOurShimStdioTests {
  @Test("a file has what a container prints", arguments: ContainerdRelease.allCases)
  func file(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let file = "\(containerd.directory)/not-there/out"
      let started = try await containerd.ctr(
        ["run", "-d", "--log-uri", "file://\(file)"] + containerd.options("c")
          + ["/bin/sh", "-c", "seq 1 20000; echo err >&2"])
      try #require(started.code == 0, "\(started)")
      try await eventually("the container has ended") {
        try await containerd.status("c") == "STOPPED"
      }
      #expect(try await containerd.ctr(["task", "rm", "\(containerd.mark)-c"]).code == 0)
      let lines = HostFiles.lines(file)
      #expect(lines.count == 20001 && lines.contains("err"))
    }
  }

  @Test("a logger has what a container prints", arguments: ContainerdRelease.allCases)
  func logger(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let logger = try containerd.script(
        "logger", "exec 5>&-; cat <&4 > $2.err & cat <&3 > $2.out; wait")
      let target = "\(containerd.directory)/logged"
      let started = try await containerd.ctr(
        ["run", "-d", "--log-uri", "binary://\(logger)?to=\(target)"] + containerd.options("c")
          + ["/bin/sh", "-c", "seq 1 20000; echo err >&2"])
      try #require(started.code == 0, "\(started)")
      try await eventually("the container has ended") {
        try await containerd.status("c") == "STOPPED"
      }
      #expect(try await containerd.ctr(["task", "rm", "\(containerd.mark)-c"]).code == 0)
      #expect(HostFiles.lines("\(target).out").count == 20000)
      #expect(HostFiles.text("\(target).err") == "err\n")
    }
  }

  @Test(
    "without stdio, input is at its end and output goes nowhere",
    arguments: ContainerdRelease.allCases)
  func null(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let result = try await containerd.ctr(
        ["run", "--rm", "--null-io"] + containerd.options("c")
          + ["/bin/sh", "-c", "cat && echo out && exit 4"])
      #expect(result.code == 4 && result.out.isEmpty, "\(result)")
    }
  }

  @Test("a terminal is one, for input and output", arguments: ContainerdRelease.allCases)
  func terminal(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      // script(1) gives ctr the terminal that it wants to have itself.
      let inner = "test -t 0 && test -t 1 && test -t 2 && read word && echo \\\"<$word>\\\"; exit 6"
      let words =
        [containerd.client, "run", "--rm", "-t"] + containerd.options("c")
        + ["/bin/sh", "-c", "\"\(inner.split(separator: "$").joined(separator: "\\$"))\""]
      let output = try await Command(
        "/usr/bin/script",
        arguments: ["-qefc", words.joined(separator: " "), "/dev/null"],
        environment: containerd.environment
      ).run(input: Array("typed\n".utf8), timeout: .seconds(60))
      #expect(output.status == .exited(6))
      #expect(String(decoding: output.standardOutput, as: UTF8.self).contains("<typed>"))
    }
  }

  @Test(
    "who attaches has a running container's input, output and code",
    arguments: ContainerdRelease.allCases)
  func attach(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let started = try await containerd.ctr(
        ["run", "-d"] + containerd.options("c")
          + ["/bin/sh", "-c", "read word; echo got $word; exit 3"])
      try #require(started.code == 0, "\(started)")
      let attached = try await containerd.ctr(
        ["task", "attach", "\(containerd.mark)-c"], input: Array("hello\n".utf8))
      #expect(attached.code == 3 && attached.out == "got hello\n", "\(attached)")
    }
  }
}
