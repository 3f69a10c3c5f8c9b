import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// One of Debian's containerds, with directories and a socket of its own, which finds our shim beside the
/// tests.
final class ContainerdFixture: Sendable {
  static let runtime = "io.containerd.hawsepipe.v1"

  let release: ContainerdRelease
  let directory: String
  let rootfs: String
  fileprivate let programs: (containerd: String, ctr: String)
  /// Lines of configuration for Kubernetes' interface; nil: it is not there.
  private let cri: String?
  private let daemon = Guarded<ChildProcess?>(nil)

  var socket: String { "\(directory)/c.sock" }
  /// In every container's name, so that what is left can be told.
  let mark: String

  private init(
    _ release: ContainerdRelease, directory: String, rootfs: String,
    programs: (containerd: String, ctr: String), cri: String?
  ) {
    self.release = release
    self.directory = directory
    self.rootfs = rootfs
    self.programs = programs
    self.cri = cri
    mark = "cd" + String(directory.suffix(6))
  }

  /// Runs a test's body with a daemon, behind which nothing may be left on the host.
  static func use(
    _ release: ContainerdRelease = .bookworm, cri: String? = nil,
    _ body: (ContainerdFixture) async throws -> Void
  ) async throws {
    let programs = try await release.programs()
    let rootfs = try await BusyboxRootfs.path()
    var template = Array("/tmp/cd-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let fixture = ContainerdFixture(
      release,
      directory: String(
        decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self),
      rootfs: rootfs, programs: programs, cri: cri)
    do {
      try fixture.configure()
      try await fixture.startDaemon()
      try await body(fixture)
    } catch {
      Issue.record(error)
    }
    await fixture.tearDown()
  }

  private func configure() throws {
    let text = release.configuration(directory: directory, socket: socket, cri: cri)
    let file = try OwnedDescriptor(
      opening: "\(directory)/config.toml", O_WRONLY | O_CREAT, mode: 0o600)
    try file.write(Array(text.utf8))
  }

  /// Where daemons find our shim.
  private static let shims = String(
    HostFiles.ourShim[..<(HostFiles.ourShim.lastIndex(of: "/") ?? HostFiles.ourShim.startIndex)])

  var environment: [String] {
    [
      "PATH=\(directory)/bin:\(Self.shims):/usr/sbin:/usr/bin:/sbin:/bin",
      "CONTAINERD_ADDRESS=\(socket)",
    ]
  }

  // MARK: The daemon

  func startDaemon() async throws {
    let log = try OwnedDescriptor(
      opening: "\(directory)/daemon.log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
    let child = try Command(
      programs.containerd, arguments: ["-c", "\(directory)/config.toml"],
      environment: environment, grouping: .newSession,
      descriptors: [1: log.number, 2: log.number]
    ).spawn()
    daemon.set(child)
    try await eventually("containerd answers") { try await ctr(["version"]).code == 0 }
  }

  func killDaemon() async throws {
    let child = try #require(daemon.value)
    child.signal(SIGKILL)
    _ = try await child.wait()
    daemon.set(nil)
  }

  var log: String { HostFiles.text("\(directory)/daemon.log") }

  // MARK: Its client

  /// The path of ctr.
  var client: String { programs.ctr }

  /// Runs ctr to its end.
  func ctr(_ arguments: [String], input: [UInt8] = []) async throws -> HawseResult {
    let output = try await Command(programs.ctr, arguments: arguments, environment: environment)
      .run(input: input, outputLimit: 64 << 20, timeout: .seconds(60))
    return HawseResult(
      status: output.status, out: String(decoding: output.standardOutput, as: UTF8.self),
      err: String(decoding: output.standardError, as: UTF8.self))
  }

  /// Runs a container to its end, and removes it.
  func run(
    _ name: String, _ words: String..., input: [UInt8] = []
  ) async throws -> HawseResult {
    try await ctr(["run", "--rm"] + options(name) + words, input: input)
  }

  /// Starts a container that only sleeps.
  func sleeper(_ name: String) async throws {
    let result = try await ctr(["run", "-d"] + options(name) + ["/bin/sleep", "3600"])
    try #require(result.code == 0, "\(result)")
  }

  func options(_ name: String) -> [String] {
    ["--runtime", Self.runtime, "--rootfs", rootfs, "\(mark)-\(name)"]
  }

  /// What `ctr task ls` says of a container: RUNNING, STOPPED, …; nil when it is not there.
  func status(_ name: String) async throws -> String? {
    let id = "\(mark)-\(name)"
    for line in try await ctr(["task", "ls"]).out.split(separator: "\n") {
      let fields = line.split(separator: " ").map(String.init)
      if fields.first == id { return fields.last }
    }
    return nil
  }

  /// A container's init.
  func pid(_ name: String) async throws -> Int32 {
    for line in try await ctr(["task", "ls"]).out.split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.first == "\(mark)-\(name)", fields.count > 1, let pid = Int32(fields[1]), pid > 0 {
        return pid
      }
    }
    throw NeverHappened(what: "a process of \(name)")
  }

  /// Puts a script in the place of the shim's runtime, `$dir` being this fixture's directory.
  func runtime(_ script: String) throws {
    mkdir("\(directory)/bin", 0o755)
    try self.script("bin/runc", script)
  }

  /// Writes a program, `$dir` being this fixture's directory.
  @discardableResult
  func script(_ name: String, _ body: String) throws -> String {
    let path = "\(directory)/\(name)"
    let file = try OwnedDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o755)
    try file.write(Array("#!/bin/sh\ndir=\(directory)\n\(body)\n".utf8))
    return path
  }

  /// All shims of ours that this daemon has started and that still serve.
  var shims: [Int32] {
    HostFiles.pids.filter { pid in
      let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
      return words.first?.hasSuffix("containerd-shim-hawsepipe-v1") == true
        && words.contains(socket[...]) && !words.contains("start") && !words.contains("delete")
    }
  }

  /// The process that serves a container.
  func shim(_ name: String) throws -> Int32 {
    try #require(
      HostFiles.pids.first { pid in
        let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
        return words.first?.hasSuffix("containerd-shim-hawsepipe-v1") == true
          && words.contains("\(mark)-\(name)"[...])
      })
  }

  // MARK: The end

  private func tearDown() async {
    do {
      for line in try await ctr(["task", "ls", "-q"]).out.split(separator: "\n") {
        _ = try await ctr(["task", "rm", "-f", String(line)])
      }
      for line in try await ctr(["container", "ls", "-q"]).out.split(separator: "\n") {
        _ = try await ctr(["container", "rm", String(line)])
      }
      // What ends by itself has the time for it.
      try await eventually("nothing is left but the daemon") {
        leftovers.filter { !$0.contains("/usr/bin/containerd -c") }.isEmpty
      }
      try await killDaemon()
      #expect(leftovers == [], "\(log.suffix(4000))")
    } catch {
      Issue.record("\(error): \(leftovers)\n\(log.suffix(4000))")
      daemon.value?.signalGroup(SIGKILL)
    }
    do {
      let removal = try await Command("/bin/rm", arguments: ["-rf", directory])
        .run(timeout: .seconds(60))
      #expect(removal.status.isSuccess)
    } catch {
      Issue.record(error)
    }
  }

  /// Processes, mounts and cgroups of this fixture.
  private var leftovers: [String] {
    let processes = HostFiles.pids.filter { $0 != getpid() }.compactMap { pid -> String? in
      guard ProcessStatus(pid: pid)?.isDead == false else { return nil }
      let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
        .joined(separator: " ")
      let isOurs =
        words.contains(directory) || HostFiles.text("/proc/\(pid)/environ").contains(directory)
        || HostFiles.text("/proc/\(pid)/cgroup").contains(mark)
      return isOurs ? "process \(pid): \(words)" : nil
    }
    let mounts = HostFiles.lines("/proc/self/mountinfo").filter { $0.contains(directory) }
    let cgroups = HostFiles.tree("/sys/fs/cgroup").filter { path in
      path.split(separator: "/").last?.hasPrefix(mark + "-") == true
    }
    return processes + mounts.map { "mount \($0)" } + cgroups.map { "cgroup \($0)" }
  }
}

extension ContainerdFixture {
  /// Has ctr write the daemon's events to a file. It runs until it is signalled.
  func listen(to file: String) throws -> ChildProcess {
    let output = try OwnedDescriptor(opening: file, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
    return try Command(
      programs.ctr, arguments: ["events"], environment: environment,
      descriptors: [1: output.number]
    ).spawn()
  }

  /// The topics of a container's tasks in such a file, in their order.
  func topics(of name: String, in file: String) -> [String] {
    HostFiles.lines(file).filter { $0.contains("\"\(mark)-\(name)\"") }.compactMap { line in
      line.split(separator: " ").first { $0.hasPrefix("/tasks/") }.map(String.init)
    }
  }
}
