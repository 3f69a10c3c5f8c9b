internal import CLinux
internal import Glibc
internal import LinuxSystem

/// Where a shim's process stands on its host: its control group, its score with the OOM killer, its
/// share of cores.
public enum ShimPlacement {
  /// Moves a process into a control group, which is made where it is not there.
  ///
  /// With control groups of version 2 that is one place, with version 1 one in every hierarchy but
  /// that of cpusets, whose new groups have no processors.
  ///
  /// - Parameters:
  ///   - group: an absolute path within the hierarchy, such as `shim_cgroup` has it.
  ///   - root: where they are mounted.
  /// - Throws: `invalidRequest` for a path that climbs, `system`.
  public static func move(
    _ pid: Int32, intoCgroup group: String, root: String = "/sys/fs/cgroup"
  ) throws(ShimKitError) {
    let parts = PathText.components(group)
    guard !parts.isEmpty, !parts.contains(".."), !group.utf8.contains(0) else {
      throw ShimKitError(
        code: .invalidRequest, message: "\"\(group)\" is no path of a control group")
    }
    let path = parts.joined(separator: "/")
    do throws(SystemError) {
      let hierarchies = try hierarchies(of: root)
      if hierarchies.isEmpty { throw SystemError("open", root, errno: ENOENT) }
      for hierarchy in hierarchies {
        var place = hierarchy
        for part in parts {
          place += "/\(part)"
          if mkdir(place, 0o755) != 0, errno != EEXIST { throw .last("mkdir", place) }
        }
        try write("\(pid)", to: "\(hierarchy)/\(path)/cgroup.procs")
      }
    } catch {
      throw ShimKitError(
        code: .system, message: "cannot move process \(pid) into the control group \(group)",
        hint: "It is the runtime option shim_cgroup: it must be one that this host allows.",
        cause: error)
    }
  }

  /// The directories of all hierarchies: the one of version 2, or those of version 1, one each.
  private static func hierarchies(of root: String) throws(SystemError) -> [String] {
    if access("\(root)/cgroup.controllers", F_OK) == 0 { return [root] }
    var seen: Set<dev_t> = []
    var found: [String] = []
    let directory = try OwnedDescriptor.directory(root)
    for name in try directory.names(of: root).sorted() {
      let path = "\(root)/\(name)"
      var status = stat()
      // `cpu` and `cpuacct` are links to one; `cpuset` may have no processors in a new group.
      guard access("\(path)/cgroup.procs", F_OK) == 0, stat(path, &status) == 0,
        name != "cpuset", seen.insert(status.st_dev).inserted
      else { continue }
      found.append(path)
    }
    return found
  }

  /// Makes a process one step likelier to be killed for want of memory than this process's parent,
  /// which is the daemon when the shim is started: its score and one more, within -1000...1000.
  ///
  /// - Throws: `system`. A process that is not privileged may not, which is no error.
  public static func adjustOOMScore(of pid: Int32) throws(ShimKitError) {
    do throws(SystemError) {
      let text = try SmallFile.read("/proc/\(getppid())/oom_score_adj", limit: 64)
      let line = String(decoding: text, as: UTF8.self).split(separator: "\n").first ?? ""
      guard let score = Int(line) else { throw SystemError("read", errno: EINVAL) }
      try write("\(min(1000, max(-1000, score + 1)))", to: "/proc/\(pid)/oom_score_adj")
    } catch {
      if error.errno == EACCES || error.errno == EPERM, !isPrivileged { return }
      throw ShimKitError(
        code: .system, message: "cannot set the OOM score of process \(pid)", cause: error)
    }
  }

  /// Root of the host itself, and not of a user namespace alone.
  private static var isPrivileged: Bool {
    // Without the file there are no user namespaces.
    guard geteuid() == 0, let map = try? SmallFile.read("/proc/self/uid_map", limit: 1 << 20)
    else { return geteuid() == 0 }
    return map.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
      .map { String(decoding: $0, as: UTF8.self) } == ["0", "0", "4294967295"]
  }

  /// Gives this process and what it starts from now on cores that no others share with them
  /// (prctl(2), `PR_SCHED_CORE`), against attacks between hyperthreads.
  ///
  /// - Returns: false where the kernel or the processor does not have it.
  /// - Throws: `system`.
  @discardableResult
  public static func takeCores() throws(ShimKitError) -> Bool {
    let result = clinux_schedule_cores()
    if result == 0 { return true }
    // ENODEV: there are no hyperthreads.
    if result == -EINVAL || result == -ENODEV { return false }
    throw ShimKitError(
      code: .system, message: "cannot take cores of its own",
      cause: SystemError("prctl", errno: -result))
  }

  private static func write(_ text: String, to path: String) throws(SystemError) {
    let file = try OwnedDescriptor(opening: path, O_WRONLY | O_NOFOLLOW)
    do throws(SystemError) {
      try file.write(Array(text.utf8))
      try file.close()
    } catch {
      throw error.on(path)
    }
  }
}
