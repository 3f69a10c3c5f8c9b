import Glibc
import LinuxSystem
import Testing

@testable import ShimManagement

/// The specifications, given to the OCI runtime that they are made for.
@Suite("OCISpec with runc")
struct SpecRuncTests {
  /// A root file system of busybox, and bundles that runc works on.
  private final class Containers {
    let scratch: Scratch
    let namespace: String
    private let runcRoot: String
    private var ids: [String] = []

    init() throws {
      scratch = try Scratch.opened()
      namespace = "t\(scratch.path.utf8.suffix(6).map { String($0, radix: 16) }.joined())"
      runcRoot = try scratch.directory("runc")
    }

    deinit {
      for id in ids { runc("delete", "--force", name(id)) }
    }

    func rootfs() throws -> String {
      let rootfs = try scratch.directory("rootfs")
      if exists("\(rootfs)/bin/sh") { return rootfs }
      _ = try scratch.directory("rootfs/bin")
      try #require(run(["/bin/cp", "/bin/busybox", "\(rootfs)/bin/busybox"]).status == 0)
      let install = ["/bin/busybox", "--install", "-s", "/bin"]
      try #require(run(["/usr/sbin/chroot", rootfs] + install).status == 0)
      return rootfs
    }

    func spec(
      _ id: String, _ script: String, terminal: Bool = false, user: OCIUser = OCIUser()
    ) throws -> OCISpec {
      try OCISpec.standard(
        id: id, namespace: namespace, args: ["/bin/sh", "-c", script], env: ["GREETING=hello"],
        cwd: "/bin", terminal: terminal, user: user, rootfs: try rootfs())
    }

    func bundle(_ id: String, _ spec: OCISpec) throws -> Bundle {
      ids.append(id)
      return try Bundle.create(id: id, namespace: namespace, spec: spec.bytes(), in: scratch.state)
    }

    /// runc's own names are global on the host, where its state directory is not.
    func name(_ id: String) -> String { "\(namespace)-\(id)" }

    func runcCommand(_ arguments: String...) -> [String] {
      ["/usr/sbin/runc", "--root", runcRoot] + arguments
    }

    @discardableResult
    func runc(_ arguments: String...) -> (status: Int32, output: String) {
      run(["/usr/sbin/runc", "--root", runcRoot] + arguments)
    }

    func runToEnd(_ id: String, _ spec: OCISpec) throws -> (status: Int32, output: String) {
      let bundle = try bundle(id, spec)
      return runc("run", "--bundle", bundle.path, name(id))
    }
  }

  private func cgroups(_ path: String) -> [String] {
    run(["/usr/bin/find", "/sys/fs/cgroup", "-type", "d", "-name", String(path.dropFirst())])
      .output.split(separator: "\n").map(String.init)
  }

  @Test("runs what it describes: command, environment, directory, host name, limits, exit status")
  func standard() throws {
    let containers = try Containers()
    let result = try containers.runToEnd(
      "web.1",
      containers.spec(
        "web.1",
        """
        echo $GREETING $PWD $(hostname) $(id -u) $(ulimit -n) pid=$$
        grep -E 'NoNewPrivs|CapEff|CapAmb' /proc/self/status
        ls -d /dev/null /dev/pts /dev/shm /dev/mqueue /sys/fs/cgroup /run
        echo firmware=$(ls /sys/firmware | wc -l)
        echo x 2>&1 > /proc/sys/kernel/domainname || echo read-only
        exit 7
        """))
    #expect(result.status == 7, "\(result.output)")
    #expect(result.output.contains("hello /bin web.1 0 1024 pid=1\n"), "\(result.output)")
    #expect(result.output.contains("NoNewPrivs:\t1"))
    #expect(result.output.contains("CapEff:\t00000000a80425fb"))
    #expect(result.output.contains("CapAmb:\t0000000000000000"))
    #expect(result.output.contains("/sys/fs/cgroup\n"))
    #expect(result.output.contains("firmware=0\n"))
    #expect(!result.output.contains("No such file"), "\(result.output)")
    #expect(result.output.contains("read-only\n"))
  }

  @Test("runs as another user without rights, on a read-only root with a mount of the caller's")
  func confined() throws {
    let containers = try Containers()
    let mine = try containers.scratch.directory("mine")
    try write("precious", to: "\(mine)/file")
    var spec = try containers.spec(
      "a",
      "cat /data/file; echo; id -u; id -g; touch /bin/x; touch /data/x; grep CapEff /proc/self/status",
      user: OCIUser(uid: 1234, gid: 5678))
    spec.isRootReadonly = true
    spec.addMount(try OCIMount(parsing: "src=\(mine),dst=/data,options=rbind:ro"))
    _ = try containers.scratch.directory("rootfs/data")
    let result = try containers.runToEnd("a", spec)
    // runc copies output and errors side by side, so their order says nothing.
    #expect(result.output.contains("precious"))
    #expect(result.output.contains("1234\n5678\n"), "\(result.output)")
    #expect(result.output.contains("/bin/x: Read-only file system"))
    #expect(result.output.contains("/data/x: Read-only file system"))
    #expect(result.output.contains("CapEff:\t0000000000000000"))
    #expect(try contents("\(mine)/file") == "precious")
  }

  @Test("a task shares its sandbox's network, ipc and host name, and an exec runs in it")
  func sandbox() async throws {
    let containers = try Containers()
    let pause = try OCISpec.standard(
      id: "pod1", namespace: containers.namespace, args: OCISpec.pauseArgs,
      rootfs: try containers.rootfs())
    let pod = try containers.bundle("pod1", pause)
    let pidFile = "\(containers.scratch.path)/pid"
    let started = containers.runc(
      "run", "--detach", "--bundle", pod.path, "--pid-file", pidFile, containers.name("pod1"))
    try #require(started.status == 0, "\(started.output)")
    let pid = try #require(Int32(try contents(pidFile)))

    var spec = try containers.spec(
      "task1", "hostname; for n in net ipc pid; do readlink /proc/self/ns/$n; done")
    try spec.joinNamespaces(of: pid)
    let result = try containers.runToEnd("task1", spec)
    let lines = result.output.split(separator: "\n").map(String.init)
    try #require(lines.count == 4, "\(result.output)")
    #expect(lines[0] == "pod1")
    #expect(lines[1] == (try linkTarget("/proc/\(pid)/ns/net")))
    #expect(lines[2] == (try linkTarget("/proc/\(pid)/ns/ipc")))
    #expect(lines[3] != (try linkTarget("/proc/\(pid)/ns/pid")))

    let process = "\(containers.scratch.path)/process.json"
    let bytes = try pause.execProcess(args: ["sh", "-c", "echo $X $$; exit 3"], env: ["X=exec"])
    try write(String(decoding: bytes, as: UTF8.self), to: process)
    let exec = containers.runc("exec", "--process", process, containers.name("pod1"))
    #expect(exec.status == 3)
    #expect(exec.output.hasPrefix("exec "), "\(exec.output)")

    // The pause ends when it is asked to, well before anyone would have to kill it.
    #expect(containers.runc("kill", containers.name("pod1"), "TERM").status == 0)
    while kill(pid, 0) == 0,
      containers.runc("state", containers.name("pod1")).output
        .contains("\"running\"")
    {
      try await Task.sleep(for: .milliseconds(10))
    }
    #expect(containers.runc("delete", containers.name("pod1")).status == 0)
  }

  @Test("in the host's network it sees the host's interfaces")
  func hostNetwork() throws {
    let containers = try Containers()
    var spec = try containers.spec("a", "readlink /proc/self/ns/net")
    spec.useHostNetwork()
    let result = try containers.runToEnd("a", spec)
    #expect(result.output == (try linkTarget("/proc/self/ns/net")) + "\n")
  }

  @Test("leaves no cgroup and no mount behind, and its bundle can be removed")
  func nothingLeft() async throws {
    let containers = try Containers()
    let path = OCISpec.defaultCgroupsPath(id: "a", namespace: containers.namespace)
    let spec = try containers.spec(
      "a", "grep -o '\(path)' /proc/self/cgroup | head -1; mount | wc -l")
    let result = try containers.runToEnd("a", spec)
    #expect(result.status == 0, "\(result.output)")
    #expect(cgroups(path).isEmpty)
    let bundle = try Bundle.load(
      id: "a", namespace: containers.namespace, in: containers.scratch.state)
    try await bundle.delete()
    #expect(containers.scratch.mountPoints.isEmpty)
  }

  @Test("a terminal is a terminal")
  func terminal() throws {
    let containers = try Containers()
    let bundle = try containers.bundle("a", containers.spec("a", "tty", terminal: true))
    let command = containers.runcCommand("run", "--bundle", bundle.path, containers.name("a"))
    // script(1) has a terminal for runc to copy to and from.
    let line = command.joined(separator: " ")
    let result = run(["/usr/bin/script", "--quiet", "--return", "--command", line, "/dev/null"])
    #expect(result.status == 0)
    #expect(result.output.contains("/dev/pts/0"), "\(result.output)")
  }
}
