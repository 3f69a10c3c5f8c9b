import Glibc
import ProcessSupervision
import ShimManagement
import ShimProtocol
import Testing
import TransportCore
import UnixTransport

extension RealShim {
  /// What `hawse` makes of bundles and sockets that somebody damaged.
  @Suite("damaged state under hawse")
  struct BadInputState {
    private func bundle(_ id: String, _ hawse: HawseFixture) throws -> Bundle {
      try hawse.stateDirectory.open()
      hawse.note(id)
      var spec = try OCISpec(parsing: Array(#"{"process":{"args":["true"]}}"#.utf8))
      SandboxMark.markSandbox(&spec, id: id)
      return try Bundle.create(
        id: id, namespace: hawse.namespace, spec: spec.bytes(), in: hawse.stateDirectory)
    }

    @Test("a bundle that exists is an error, and is not touched", .timeLimit(.minutes(2)))
    func existing() async throws {
      try await HawseFixture.use { hawse in
        let bundle = try bundle("pod", hawse)
        try put("precious", "\(bundle.path)/keep")
        let before = HostFiles.tree(bundle.path)
        let run = try await hawse.hawse("sandbox", "run", "--rootfs", hawse.rootfs, "pod")
        expectError(run, code: 125, ["pod", "already there", bundle.path, "Choose another id"])
        #expect(HostFiles.tree(bundle.path) == before)
        #expect(HostFiles.text("\(bundle.path)/keep") == "precious")
      }
    }

    @Test(
      "a damaged or empty file is listed, named by attach, and removed by force",
      .timeLimit(.minutes(2)),
      arguments: [
        ("bootstrap.json", "{\"version\":", "is damaged"),
        ("bootstrap.json", "", "it is empty"),
        ("bootstrap.json", #"{"version":9,"address":"/x","protocol":"ttrpc"}"#, "version 9"),
        ("address", "", "is empty"),
        ("address", "warning: unix:///x", "is damaged"),
      ])
    func damaged(_ file: String, _ text: String, _ fault: String) async throws {
      try await HawseFixture.use { hawse in
        let path = "\(try bundle("pod", hawse).path)/\(file)"
        try put(text, path)
        let listed = try await hawse.sandboxes()
        #expect(listed.map(\.sandbox.status) == ["damaged"])
        #expect(listed.first?.sandbox.problem?.contains(path) == true)
        let attach = try await hawse.hawse(
          "task", "run", "--sandbox", "pod", "--own-namespaces", "--rootfs", hawse.rootfs, "--id",
          "web", "--", "true")
        expectError(attach, code: 125, ["pod", path, fault])
        let gently = try await hawse.hawse("sandbox", "rm", "pod")
        expectError(gently, code: 1, [path, "--force"])
        #expect(HostFiles.text(path) == text)
        let removed = try await hawse.hawse("sandbox", "rm", "--force", "pod")
        #expect(removed.code == 0 && removed.out == "pod\n", "\(removed)")
      }
    }

    @Test(
      "a sandbox whose server is gone: attach says so, it is listed as dead, and is cleaned up",
      .timeLimit(.minutes(2)), arguments: [true, false])
    func serverIsGone(_ fileIsThere: Bool) async throws {
      try await HawseFixture.use { hawse in
        let socket = "\(hawse.directory)/gone.sock"
        if fileIsThere {
          try UnixListener(
            bindingTo: TransportAddress(place: .unix(path: socket)),
            options: .init(leavesFile: true)
          ).close()
        }
        try bundle("pod", hawse).files.write(
          BootstrapParams(version: 3, address: "unix://\(socket)", protocolName: "ttrpc"))
        #expect(try await hawse.sandboxes().map(\.sandbox.status) == ["dead"])
        let attach = try await hawse.hawse(
          "task", "run", "--sandbox", "pod", "--own-namespaces", "--rootfs", hawse.rootfs, "--id",
          "web", "--", "true")
        expectError(
          attach, code: 125,
          ["pod", socket, fileIsThere ? "ECONNREFUSED" : "ENOENT", "Nobody listens there"])
        #expect(!HostFiles.exists(hawse.bundle("web")))
        let removed = try await hawse.hawse("sandbox", "rm", "pod")
        #expect(removed.code == 0 && removed.out == "pod\n", "\(removed)")
      }
    }

    @Test(
      "a disk that is full when bootstrap.json is written fails the attach and loses nothing",
      .timeLimit(.minutes(2)))
    func fullDisk() async throws {
      try await HawseFixture.use { hawse in
        try #require(mkdir(hawse.state, 0o711) == 0)
        try #require(mount("tmpfs", hawse.state, "tmpfs", 0, "size=256k,mode=0711") == 0)
        let web = try hawse.start(
          [
            "task", "run", "--sandbox", "pod", "--address", "ttrpc+unix:///nowhere.sock",
            "--api-version", "2", "--rootfs", hawse.rootfs, "--id", "web", "--", "true",
          ], environment: ["HAWSE_STOP_AT=sandbox-recorded"])
        #expect(try await web.stopped())
        let filler = "\(hawse.state)/filler"
        fill(filler)
        web.signal(SIGCONT)
        let result = try await web.result()
        expectError(result, code: 125, ["bootstrap.json", "web", "No space left on device"])
        #expect(HostFiles.tree(hawse.bundle("web")) == [])
        #expect(!HostFiles.exists(hawse.bundle("web")))
        unlink(filler)
        #expect(try await hawse.tasks().isEmpty)
        // Before the fixture looks: the mount is the test's own.
        umount2(hawse.state, Int32(MNT_DETACH))
      }
    }

    /// Writes until the device has not a byte left.
    private func fill(_ path: String) {
      let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
      defer { close(file) }
      for size in [4096, 1] {
        let block = [UInt8](repeating: 0, count: size)
        while write(file, block, size) > 0 {}
      }
    }
  }
}
