import Glibc
import ProcessSupervision
import ShimProtocol
import Testing
import TransportCore
import UnixTransport

extension RealShim {
  @Suite("a shim that answers start in ways of its own")
  struct Scripted {
    /// The scripted shim under the name that tells it what to do, where only root can write.
    private func shim(_ way: String, _ hawse: HawseFixture) throws -> String {
      // "runc" in its name, so that it is sent runc's options.
      let path = "\(hawse.directory)/runc-\(way)"
      let sources = #filePath.split(separator: "/").dropLast().joined(separator: "/")
      let text = HostFiles.bytes("/\(sources)/Peers/scripted-shim")
      try #require(!text.isEmpty)
      let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o755)
      try #require(file >= 0)
      defer { close(file) }
      try #require(write(file, text, text.count) == text.count)
      return path
    }

    @Test(
      "every dialect of the answer starts a sandbox, which is removed whole",
      .timeLimit(.minutes(2)), arguments: ["plain", "json", "protobuf", "stderr"])
    func dialects(_ way: String) async throws {
      try await HawseFixture.use { hawse in
        let run = try await hawse.hawse(
          "sandbox", "run", "--runtime", try shim(way, hawse), "--rootfs", hawse.rootfs, "pod")
        #expect(run.code == 0 && run.out == "pod\n", "\(run)")
        let warning = run.err.contains("WARNING: cgroup v1 is deprecated")
        #expect(warning == (way == "stderr"), "\(run)")
        let listed = try await hawse.sandboxes()
        #expect(listed.map(\.sandbox.status) == ["running"])
        #expect(listed.map(\.sandbox.version) == [2])
        let params = try BundleFiles(path: hawse.bundle("pod")).readBootstrapParams()
        #expect(params.version == 2 && params.protocolName == "ttrpc")
        #expect(params.address.hasPrefix("unix:///"))
        let removed = try await hawse.hawse("sandbox", "rm", "--force", "pod")
        #expect(removed.code == 0, "\(removed)")
      }
    }

    @Test(
      "version 3 where only 2 is served is spoken to in version 2, and that is remembered",
      .timeLimit(.minutes(2)))
    func newer() async throws {
      try await HawseFixture.use { hawse in
        let run = try await hawse.hawse(
          "sandbox", "run", "--runtime", try shim("newer", hawse), "--rootfs", hawse.rootfs, "pod")
        #expect(run.code == 0, "\(run)")
        #expect(try BundleFiles(path: hawse.bundle("pod")).readBootstrapParams().version == 2)
        #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["running"])
      }
    }

    /// The fixture sees to it that no shim of a start that failed is left, nor its socket.
    @Test(
      "an answer that is none is an error that quotes it, and the shim that was started is ended",
      .timeLimit(.minutes(2)),
      arguments: [
        ("stdout", ["WARNING: cgroup v1 is deprecated", "several lines"]),
        ("nothing", ["no address"]),
        ("garbage", ["\\u{1}y", "not text"]),
        ("fails", ["exited with code 1", "the guest's kernel is missing"]),
      ])
    func refused(_ way: String, _ essentials: [String]) async throws {
      try await HawseFixture.use { hawse in
        let binary = try shim(way, hawse)
        let run = try await hawse.hawse(
          "sandbox", "run", "--runtime", binary, "--rootfs", hawse.rootfs, "pod")
        expectError(run, code: 125, [binary, "pod"] + essentials)
        #expect(!HostFiles.exists(hawse.bundle("pod")))
        #expect(hawse.shims == [])
      }
    }

    @Test(
      "a start that hangs is ended after --timeout, with its processes", .timeLimit(.minutes(2)))
    func hangs() async throws {
      try await HawseFixture.use { hawse in
        let run = try await hawse.hawse(
          "sandbox", "run", "--timeout", "0.5", "--runtime", try shim("hangs", hawse), "--rootfs",
          hawse.rootfs, "pod", timeout: .seconds(30))
        expectError(run, code: 125, ["pod", "0.5 seconds", "waiting for the guest"])
        #expect(!HostFiles.exists(hawse.bundle("pod")))
      }
    }

    @Test(
      "a shim that takes connections and never answers is bounded, and bothers no other sandbox",
      .timeLimit(.minutes(2)))
    func mute() async throws {
      try await HawseFixture.use { hawse in
        try await hawse.sandbox("pod")
        let socket = "\(hawse.directory)/mute.sock"
        // Listens, and never accepts.
        let listener = try UnixListener(
          bindingTo: TransportAddress(place: .unix(path: socket)))
        defer { listener.close() }
        let mute = try hawse.start(
          [
            "sandbox", "run", "--timeout", "3", "--runtime", try shim("mute", hawse), "--rootfs",
            hawse.rootfs, "mute",
          ], environment: ["SCRIPTED_SOCKET=\(socket)"])
        let echo = try await hawse.hawse(
          "task", "run", "--sandbox", "pod", "--rootfs", hawse.rootfs, "--", "echo", "hello")
        #expect(echo.code == 0 && echo.out == "hello\n", "\(echo)")
        expectError(try await mute.result(), code: 125, ["mute", socket, "does not answer"])
        #expect(!HostFiles.exists(hawse.bundle("mute")))
      }
    }
  }
}
