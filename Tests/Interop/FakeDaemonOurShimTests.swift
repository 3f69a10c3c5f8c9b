import ContainerdAPI
import FoundationEssentials
import Glibc
import LinuxSystem
import ProcessSupervision
import RPCCore
import ShimProtocol
import ShimTestKit
import SwiftProtobuf
import TTRPC
import Testing

/// Our shim under a fake daemon of each generation, which is all there is of containerd 2.3 and newer, with
/// Debian's runc.
@Suite("Our shim is started as each generation of daemons does it", .timeLimit(.minutes(3)))
struct FakeDaemonOurShimTests {
  private typealias Tasks = Containerd_Task_V3_TaskClient
  private typealias Sandboxes = Containerd_Runtime_Sandbox_V1_SandboxClient

  private static let shim = HostFiles.ourShim

  private static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]

  /// The OCI specification of a container that shares its root file system and nothing else, but for
  /// namespaces that are given.
  private static func specification(
    _ command: String, rootfs: String, cgroup: String, joining: [String: String] = [:]
  ) -> String {
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map { type in
      let path = joining[type].map { #","path":"\#($0)""# } ?? ""
      return #"{"type":"\#(type)"\#(path)}"#
    }
    return """
      {"ociVersion":"1.0.2","process":{"user":{"uid":0,"gid":0},"args":["/bin/sh","-c","\(command)"],
      "env":["PATH=/bin"],"cwd":"/"},"root":{"path":"\(rootfs)","readonly":true},
      "mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
      "linux":{"cgroupsPath":"/\(cgroup)","namespaces":[\(namespaces.joined(separator: ","))]}}
      """
  }

  /// Runs the body with a daemon, behind which no process that names its directory may be left.
  private static func use(
    _ generation: FakeDaemon.Generation, _ body: (FakeDaemon) async throws -> Void
  ) async throws {
    try RealPeers.require()
    let daemon = try FakeDaemon(generation, namespace: "fake\(getpid())")
    do { try await body(daemon) } catch { Issue.record(error) }
    func left() -> [Int32] {
      HostFiles.pids.filter { pid in
        guard pid != getpid(), ProcessStatus(pid: pid)?.isDead == false else { return false }
        return HostFiles.text("/proc/\(pid)/cmdline").contains(daemon.directory)
          || HostFiles.text("/proc/\(pid)/environ").contains(daemon.directory)
      }
    }
    do { try await eventually("nothing is left") { left().isEmpty } } catch {
      Issue.record(error)
      for pid in left() { kill(pid, SIGKILL) }
    }
    await daemon.stop()
    rmdir("/run/containerd/runc/\(daemon.namespace)")
  }

  @Test(
    "a container is created, started, waited for and deleted",
    arguments: [
      (FakeDaemon.Generation.v1_6, BootstrapReply.Dialect.plain), (.v1_7, .json),
      (.v2_3, .protobuf),
    ])
  func container(_ generation: FakeDaemon.Generation, _ dialect: BootstrapReply.Dialect)
    async throws
  {
    let rootfs = try await BusyboxRootfs.path()
    try await Self.use(generation) { daemon in
      let id = "c\(getpid())"
      try daemon.makeBundle(
        id, configuration: Self.specification("exit 5", rootfs: rootfs, cgroup: id))
      let shim = try await daemon.start(Self.shim, id: id, environment: Self.environment)
      #expect(shim.dialect == dialect)
      #expect(shim.parameters.version == (generation == .v2_3 ? 3 : 2))
      try await daemon.withClient(of: shim) { client in
        let tasks = Tasks(caller: client)
        let created = try await tasks.create(
          .with {
            $0.id = id
            $0.bundle = daemon.bundle(id)
          })
        #expect(ProcessIdentity(pid: Int32(created.pid)) != nil)
        #expect(try await tasks.start(.with { $0.id = id }).pid == created.pid)
        #expect(try await tasks.wait(.with { $0.id = id }).exitStatus == 5)
        let deleted = try await tasks.delete(.with { $0.id = id })
        #expect(deleted.pid == created.pid && deleted.exitStatus == 5)
        _ = try await tasks.shutdown(.with { $0.id = id })
      }
      let topics = ["create", "start", "exit", "delete"].map { "/tasks/\($0)" }
      _ = try await daemon.events.wait(within: .seconds(30)) { $0.count >= topics.count }
      #expect(daemon.events.topics == topics)
      _ = try await daemon.delete(Self.shim, id: id, environment: Self.environment)
      #expect(try daemon.log(of: id).contains("level=error") == false)
    }
  }

  /// Runs the body with a sandbox that was started, and a client of its shim.
  private static func withSandbox(
    _ daemon: FakeDaemon, sharesPIDs: Bool = true,
    _ body: (TTRPCClient, _ id: String, _ holder: UInt32) async throws -> Void
  ) async throws {
    let id = "pod\(getpid())"
    try daemon.makeBundle(id)
    unlink("\(daemon.bundle(id))/config.json")  // containerd gives sandboxes of Kubernetes none.
    let shim = try await daemon.start(Self.shim, id: id, environment: Self.environment)
    try await daemon.withClient(of: shim) { client in
      let sandboxes = Sandboxes(caller: client)
      _ = try await sandboxes.createSandbox(
        .with {
          $0.sandboxID = id
          $0.bundlePath = daemon.bundle(id)
          $0.options.typeURL = "runtime.v1.PodSandboxConfig"
          // hostname: "inside", linux.security_context.namespace_options.pid: as asked for.
          $0.options.value = Data(
            [0x12, 6] + Array("inside".utf8) + [0x42, 6, 0x12, 4, 0x0a, 2, 0x10]
              + [sharesPIDs ? 0 : 1])
        })
      let started = try await sandboxes.startSandbox(.with { $0.sandboxID = id })
      try await body(client, id, started.pid)
    }
  }

  private static func path(_ type: String, _ holder: UInt32) -> String {
    let file = type == "network" ? "net" : type
    return "/proc/\(holder)/ns/\(file)"
  }

  @Test("containers are attached to a sandbox's shim, and join its holder's namespaces")
  func sandbox() async throws {
    let rootfs = try await BusyboxRootfs.path()
    try await Self.use(.v2_3) { daemon in
      try await Self.withSandbox(daemon) { client, pod, holder in
        let sandboxes = Sandboxes(caller: client)
        let status = try await sandboxes.sandboxStatus(.with { $0.sandboxID = pod })
        #expect(status.state == "SANDBOX_READY" && status.pid == holder)
        for type in ["ipc", "uts", "pid"] {
          #expect(
            HostFiles.link(Self.path(type, holder)) != HostFiles.link("/proc/self/ns/\(type)"))
        }
        #expect(
          HostFiles.link(Self.path("network", holder)) == HostFiles.link("/proc/self/ns/net"))
        let id = "in\(getpid())"
        let types = ["pid", "ipc", "uts", "network"]
        let joining = Dictionary(
          uniqueKeysWithValues: types.map { ($0, Self.path($0, holder)) })
        try daemon.makeBundle(
          id,
          configuration: Self.specification(
            "test $(hostname) = inside && test $$ != 1 && exit 6", rootfs: rootfs, cgroup: id,
            joining: joining))
        let tasks = Tasks(caller: client)
        _ = try await tasks.create(
          .with {
            $0.id = id
            $0.bundle = daemon.bundle(id)
          })
        // Neither of the two ends the process while it serves the other.
        let refused = await #expect(throws: RPCError.self) {
          _ = try await sandboxes.shutdownSandbox(.with { $0.sandboxID = pod })
        }
        #expect(refused?.code == .failedPrecondition)
        _ = try await tasks.start(.with { $0.id = id })
        #expect(try await tasks.wait(.with { $0.id = id }).exitStatus == 6)
        _ = try await tasks.delete(.with { $0.id = id })
        _ = try await tasks.shutdown(.with { $0.id = id })
        _ = try await sandboxes.pingSandbox(.with { $0.sandboxID = pod })
        async let end = sandboxes.waitSandbox(.with { $0.sandboxID = pod })
        _ = try await sandboxes.stopSandbox(.with { $0.sandboxID = pod })
        #expect(try await end.exitStatus == 0)
        #expect(ProcessIdentity(pid: Int32(holder)) == nil)
        _ = try await sandboxes.shutdownSandbox(.with { $0.sandboxID = pod })
        let ended = try await daemon.delete(Self.shim, id: pod, environment: Self.environment)
        #expect(ended.exitStatus == 0 && ended.pid == holder)
      }
    }
  }

  @Test("a sandbox's holder ends with its shim, and reaps what its pod leaves behind")
  func death() async throws {
    try await Self.use(.v2_3) { daemon in
      try await Self.withSandbox(daemon) { client, pod, holder in
        let process = try #require(ProcessIdentity(pid: Int32(holder)))
        // Orphans of the pid namespace are the holder's.
        let orphan = try await Command(
          "/usr/bin/nsenter",
          arguments: [
            "--target", "\(holder)", "--pid", "/bin/sh", "-c", "(sleep 0.1 & exit 0) & exit 0",
          ]
        ).run(timeout: .seconds(30))
        #expect(orphan.status.isSuccess)
        try await eventually("the holder has no children") {
          HostFiles.text("/proc/\(holder)/task/\(holder)/children").isEmpty
        }
        let shim = try await Tasks(caller: client).connect(.with { $0.id = pod }).shimPid
        kill(Int32(shim), SIGKILL)
        #expect(await process.waitForEnd(within: .seconds(30)))
        let ended = try await daemon.delete(Self.shim, id: pod, environment: Self.environment)
        #expect(ended.pid == holder)
      }
    }
  }

  @Test("containers that were attached to a sandbox end with what cleans up behind its shim")
  func attachedDeath() async throws {
    let rootfs = try await BusyboxRootfs.path()
    try await Self.use(.v2_3) { daemon in
      try await Self.withSandbox(daemon, sharesPIDs: false) { client, pod, _ in
        let id = "left\(getpid())"
        try daemon.makeBundle(
          id, configuration: Self.specification("sleep 3600", rootfs: rootfs, cgroup: id))
        let tasks = Tasks(caller: client)
        let pid = try await tasks.create(
          .with {
            $0.id = id
            $0.bundle = daemon.bundle(id)
          }
        ).pid
        _ = try await tasks.start(.with { $0.id = id })
        let process = try #require(ProcessIdentity(pid: Int32(pid)))
        // As containerd has them, and with the file that it makes when it attaches.
        let state = "\(daemon.directory)/state"
        mkdir(state, 0o700)
        var bundles: [String: String] = [:]
        for (kind, name) in [
          ("io.containerd.sandbox.controller.v1.shim", pod), ("io.containerd.runtime.v2.task", id),
        ] {
          mkdir("\(state)/\(kind)", 0o700)
          mkdir("\(state)/\(kind)/\(daemon.namespace)", 0o700)
          let path = "\(state)/\(kind)/\(daemon.namespace)/\(name)"
          #expect(symlink(daemon.bundle(name), path) == 0)
          bundles[name] = path
        }
        let file = try OwnedDescriptor(
          opening: "\(daemon.bundle(id))/sandbox", O_WRONLY | O_CREAT, mode: 0o600)
        try file.write(Array(pod.utf8))

        kill(Int32(try await tasks.connect(.with { $0.id = pod }).shimPid), SIGKILL)
        #expect(process.isAlive)
        let deleted = try await Command(
          Self.shim,
          arguments: [
            "-namespace", daemon.namespace, "-address", daemon.address, "-id", pod, "-bundle",
            try #require(bundles[pod]), "delete",
          ], environment: Self.environment + ["TTRPC_ADDRESS=\(daemon.events.path)"],
          directory: daemon.bundle(pod)
        ).run(timeout: .seconds(60))
        #expect(deleted.status.isSuccess)
        #expect(!process.isAlive)
      }
    }
  }

  @Test("namespaces that cannot be made are an error in the holder's words")
  func noNetwork() async throws {
    try await Self.use(.v2_3) { daemon in
      let id = "pod\(getpid())"
      try daemon.makeBundle(id)
      let shim = try await daemon.start(Self.shim, id: id, environment: Self.environment)
      try await daemon.withClient(of: shim) { client in
        let sandboxes = Sandboxes(caller: client)
        _ = try await sandboxes.createSandbox(
          .with {
            $0.sandboxID = id
            $0.bundlePath = daemon.bundle(id)
            $0.netnsPath = "/run/netns/not-there"
          })
        let error = await #expect(throws: RPCError.self) {
          _ = try await sandboxes.startSandbox(.with { $0.sandboxID = id })
        }
        #expect(error?.message.contains("/run/netns/not-there: ") == true, "\(error as Any)")
        _ = try await sandboxes.shutdownSandbox(.with { $0.sandboxID = id })
      }
      _ = try await daemon.delete(Self.shim, id: id, environment: Self.environment)
    }
  }
}
