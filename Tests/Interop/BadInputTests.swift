import Glibc
import ProcessSupervision
import Testing

extension RealShim {
  /// Each a clear error of one paragraph, the right exit status, and nothing made or lost: the fixture
  /// sees to the latter.
  @Suite("bad input to hawse")
  struct BadInput {
    struct Row: Sendable, CustomTestStringConvertible {
      var name: String
      /// `ROOTFS` and `DIR` stand for the fixture's.
      var arguments: [String]
      var code: Int32 = 125
      var essentials: [String]
      var testDescription: String { name }

      init(_ name: String, _ arguments: [String], code: Int32 = 125, _ essentials: [String]) {
        self.name = name
        self.arguments = arguments
        self.code = code
        self.essentials = essentials
      }

      static func attach(_ name: String, to address: String, _ essentials: [String]) -> Row {
        Row(
          name,
          [
            "task", "run", "--sandbox", "pod", "--address", address, "--api-version", "2",
            "--rootfs", "ROOTFS", "--id", "web", "--", "true",
          ], essentials)
      }

      static func sandbox(_ name: String, _ rest: [String], _ essentials: [String]) -> Row {
        Row(name, ["sandbox", "run"] + rest, essentials)
      }
    }

    static let rows: [Row] = [
      .attach("unknown protocol", to: "http+unix:///x.sock", ["http", "ttrpc", "grpc"]),
      .attach("unknown scheme", to: "ttrpc+carrier://x", ["carrier", "unix"]),
      .attach("no transport", to: "ttrpc+://x", ["ttrpc+://x"]),
      .attach("no protocol", to: "+unix:///x.sock", ["+unix:///x.sock"]),
      .attach("a protocol is needed", to: "unix:///x.sock", ["which protocol", "ttrpc+unix:///x"]),
      .attach(
        "a file named in an address that is recorded",
        to: "ttrpc+tls://localhost:1?cert=/x.pem&key=/x.key", ["\"cert\"", "--tls-profile"]),
      .attach(
        "a profile named in an address that is recorded",
        to: "ttrpc+tls://localhost:1?profile=/x", ["\"profile\"", "HAWSE_TLS_PROFILE"]),
      .attach(
        "a command in an address that is recorded", to: "ttrpc+exec://?arg=cat",
        ["exec", "hawse proxy"]),
      .attach("nobody listens", to: "ttrpc+unix:///nowhere.sock", ["/nowhere.sock", "ENOENT"]),
      Row(
        "a TLS profile that is not there", ["sandbox", "ls", "--tls-profile", "DIR/none"], code: 1,
        ["DIR/none", "profile"]),
      Row(
        "address parse", ["address", "parse", "ttrpc+unxi:///x.sock"], code: 1, ["unxi", "unix"]),
      .sandbox("id with a slash", ["--rootfs", "ROOTFS", "a/b"], ["a/b", "id"]),
      .sandbox("id that climbs", ["--rootfs", "ROOTFS", ".."], ["\"..\"", "id"]),
      .sandbox(
        "id that is too long", ["--rootfs", "ROOTFS", String(repeating: "x", count: 77)],
        ["77", "76"]),
      .sandbox(
        "namespace", ["--namespace", "a b", "--rootfs", "ROOTFS", "pod"], ["a b", "namespace"]),
      Row("namespace of a list", ["task", "ls", "--namespace", "-"], code: 1, ["namespace"]),
      .sandbox("no rootfs", ["pod"], ["--rootfs"]),
      .sandbox("rootfs is not there", ["--rootfs", "DIR/none", "pod"], ["DIR/none"]),
      .sandbox("rootfs is a link", ["--rootfs", "DIR/link", "pod"], ["DIR/link", "link"]),
      .sandbox("rootfs is a file", ["--rootfs", "DIR/file", "pod"], ["DIR/file", "directory"]),
      .sandbox(
        "mount that climbs out",
        [
          "--rootfs", "ROOTFS", "--mount", "type=bind,source=/tmp,target=/../../etc,options=rbind",
          "pod",
        ], ["/../../etc", "not a mount"]),
      .sandbox(
        "mount without a target", ["--rootfs", "ROOTFS", "--mount", "type=bind", "pod"],
        ["no target"]),
      .sandbox(
        "config is not JSON", ["--rootfs", "ROOTFS", "--config", "DIR/file", "pod"],
        ["DIR/file", "JSON"]),
      .sandbox(
        "config is not there", ["--rootfs", "ROOTFS", "--config", "DIR/none", "pod"], ["DIR/none"]),
      .sandbox(
        "config without args", ["--rootfs", "ROOTFS", "--config", "DIR/empty.json", "pod"], ["args"]
      ),
      .sandbox(
        "a runtime that is not installed",
        ["--runtime", "io.containerd.nothing.v9", "--rootfs", "ROOTFS", "pod"],
        ["containerd-shim-nothing-v9", "/usr/bin"]),
      .sandbox(
        "a runtime's name against the rule", ["--runtime", "runc", "--rootfs", "ROOTFS", "pod"],
        ["\"runc\"", "io.containerd.runc.v2"]),
      .sandbox(
        "a binary that is not there", ["--runtime", "DIR/none", "--rootfs", "ROOTFS", "pod"],
        ["DIR/none"]),
      .sandbox(
        "a binary that others can write",
        ["--runtime", "DIR/writable", "--rootfs", "ROOTFS", "pod"],
        ["DIR/writable", "chmod go-w DIR/writable"]),
      .sandbox(
        "a state directory of another user",
        ["--state", "DIR/theirs", "--rootfs", "ROOTFS", "pod"], ["DIR/theirs", "uid 4711"]),
      .sandbox(
        "a state directory that is a link", ["--state", "DIR/link", "--rootfs", "ROOTFS", "pod"],
        ["DIR/link", "symbolic link"]),
      .sandbox(
        "a state directory that is a file", ["--state", "DIR/file", "--rootfs", "ROOTFS", "pod"],
        ["DIR/file", "not a directory"]),
      .sandbox(
        "a state directory that cannot be written",
        ["--state", "DIR/fixed/s", "--rootfs", "ROOTFS", "pod"],
        ["DIR/fixed", "Read-only file system", "--state"]),
      Row(
        "a task without a command", ["task", "run", "--rootfs", "ROOTFS", "--id", "web"],
        ["no program to run", "Give a command"]),
      Row(
        "a task in a sandbox that is not there",
        ["task", "run", "--sandbox", "none", "--rootfs", "ROOTFS", "--id", "web", "--", "true"],
        ["none", "sandbox"]),
      Row("exec in a task that is not there", ["task", "exec", "none", "--", "true"], ["none"]),
      Row("kill of a task that is not there", ["task", "kill", "none"], code: 1, ["none"]),
      Row("wait for a task that is not there", ["task", "wait", "none"], code: 1, ["none"]),
      Row("removal of what is not there", ["sandbox", "rm", "--force", "none"], code: 1, ["none"]),
    ]

    @Test("is an error of one paragraph and changes nothing", .timeLimit(.minutes(5)))
    func refused() async throws {
      try await HawseFixture.use { hawse in
        let directory = hawse.directory
        try prepare(directory)
        defer { umount2("\(directory)/fixed", Int32(MNT_DETACH)) }
        let theirs = HostFiles.tree(directory)
        for row in Self.rows {
          let fill = { (text: String) in
            text.replacing("ROOTFS", with: hawse.rootfs).replacing("DIR", with: directory)
          }
          let result =
            row.arguments.first == "address"
            ? try await plain(row.arguments)
            : try await hawse.run(row.arguments.map(fill), timeout: .seconds(30))
          expectError(result, code: row.code, row.essentials.map(fill), row.name)
          #expect(
            HostFiles.tree(directory).filter {
              !"\($0)/".hasPrefix("\(hawse.state)/") && !"\($0)/".hasPrefix("\(hawse.root)/")
            } == theirs, "\(row.name)")
          let left = Leftovers(of: hawse)
          #expect(left.mounts == ["\(directory)/fixed"], "\(row.name)")
          #expect(
            left.processes.isEmpty && left.cgroups.isEmpty && left.sockets.isEmpty
              && left.files.isEmpty, "\(row.name): \(left)")
        }
      }
    }

    /// `hawse` without the options of the fixture's directories.
    private func plain(_ arguments: [String]) async throws -> HawseResult {
      let output = try await Command(HawseFixture.executable, arguments: arguments)
        .run(timeout: .seconds(30))
      return HawseResult(
        status: output.status, out: String(decoding: output.standardOutput, as: UTF8.self),
        err: String(decoding: output.standardError, as: UTF8.self))
    }

    private func prepare(_ directory: String) throws {
      try put("not JSON", "\(directory)/file")
      try put("{}", "\(directory)/empty.json")
      try put("#!/bin/sh\n", "\(directory)/writable")
      try #require(chmod("\(directory)/writable", 0o757) == 0)
      try #require(symlink("/", "\(directory)/link") == 0)
      try #require(mkdir("\(directory)/theirs", 0o755) == 0)
      try #require(chown("\(directory)/theirs", 4711, 4711) == 0)
      let readonly = "\(directory)/fixed"
      try #require(mkdir(readonly, 0o755) == 0)
      try #require(mount(readonly, readonly, nil, UInt(MS_BIND), nil) == 0)
      let flags = UInt(MS_REMOUNT) | UInt(MS_BIND) | UInt(MS_RDONLY)
      try #require(mount(nil, readonly, nil, flags, nil) == 0)
    }
  }
}

func put(_ text: String, _ path: String) throws {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  try #require(file >= 0, "\(path): errno \(errno)")
  defer { close(file) }
  try #require(write(file, text, text.utf8.count) == text.utf8.count)
}
