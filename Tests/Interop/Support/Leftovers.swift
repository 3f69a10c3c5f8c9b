import Glibc
import ProcessSupervision

/// What there is on the host that belongs to a fixture: all of it must be gone at a test's end.
struct Leftovers: CustomStringConvertible {
  private(set) var processes: [Int32] = []
  private(set) var mounts: [String] = []
  private(set) var cgroups: [String] = []
  private(set) var sockets: [String] = []
  /// Bundles, work directories, fifos, locks, records of runc: whatever is not the skeleton of the
  /// state and root directories.
  private(set) var files: [String] = []

  var isEmpty: Bool {
    processes.isEmpty && mounts.isEmpty && cgroups.isEmpty && sockets.isEmpty && files.isEmpty
  }

  init(of fixture: HawseFixture) {
    let mark = "hawsepipe--\(fixture.namespace)--"
    processes = HostFiles.pids.filter { pid in
      pid != getpid() && Self.belongs(pid, to: fixture.directory, cgroup: mark)
    }
    mounts = HostFiles.lines("/proc/self/mountinfo").map { String($0.split(separator: " ")[4]) }
      .filter { $0.hasPrefix(fixture.directory + "/") }
    cgroups = HostFiles.tree("/sys/fs/cgroup").filter { path in
      path.split(separator: "/").last?.hasPrefix(mark) == true
    }
    let bound = HostFiles.lines("/proc/net/unix").compactMap { line -> String? in
      let fields = line.split(separator: " ")
      return fields.count > 7 ? String(fields[7]) : nil
    }
    let shimSockets = Set(fixture.shimSockets)
    sockets = bound.filter { shimSockets.contains($0) || $0.contains(fixture.directory) }
    sockets += shimSockets.filter { HostFiles.exists($0) }
    files = Self.files(of: fixture)
  }

  /// By command line, environment, working directory or cgroup.
  private static func belongs(_ pid: Int32, to directory: String, cgroup: String) -> Bool {
    guard ProcessStatus(pid: pid)?.isDead == false else { return false }
    return HostFiles.link("/proc/\(pid)/cwd").hasPrefix(directory)
      || ["cmdline", "environ", "cgroup"].contains { file in
        let text = HostFiles.text("/proc/\(pid)/\(file)")
        return text.contains(directory) || text.contains(cgroup)
      }
  }

  private static func files(of fixture: HawseFixture) -> [String] {
    let plugin = "io.containerd.runtime.v2.task"
    let namespace = fixture.namespace
    let skeleton = Set(
      [
        "s", "s/events.sock", "s/fifo", "s/fifo/\(namespace)", "s/locks", "s/\(plugin)",
        "s/\(plugin)/\(namespace)", "s/runc", "s/runc/\(namespace)", "r", "r/\(plugin)",
        "r/\(plugin)/\(namespace)", "s/control", "s/locks/holder", "s/sandboxes",
        "s/sandboxes/\(namespace)",
      ].map { "\(fixture.directory)/\($0)" })
    return (HostFiles.tree(fixture.state) + HostFiles.tree(fixture.root))
      .filter { !skeleton.contains($0) }
  }

  var description: String {
    var lines = ["left behind:"]
    for pid in processes {
      let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
      lines.append("process \(pid): \(words.joined(separator: " "))")
    }
    lines += mounts.map { "mount \($0)" }
    lines += cgroups.map { "cgroup \($0)" }
    lines += sockets.map { "socket \($0)" }
    lines += files.map { "file \($0)" }
    return lines.joined(separator: "\n")
  }

  /// Removes it all by force, so that a test that failed leaves the host as it was.
  func destroy() {
    for pid in processes { kill(pid, SIGKILL) }
    for mount in mounts.reversed() { umount2(mount, Int32(MNT_DETACH)) }
    for cgroup in cgroups.reversed() { rmdir(cgroup) }
    for socket in sockets where socket.hasPrefix("/run/containerd/s/") { unlink(socket) }
  }
}
