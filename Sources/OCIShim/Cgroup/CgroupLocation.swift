internal import LinuxSystem
internal import Synchronization

/// Where the files of a process's cgroup are (cgroups(7)).
enum CgroupLocation: Hashable, Sendable {
  /// Each controller has a hierarchy of its own (cgroup v1, and hybrid hosts): the directory of each
  /// that is mounted, by its name, such as `memory` or `cpuacct`.
  case separate([String: String])
  /// One hierarchy for all (cgroup v2).
  case unified(String)

  /// Those seen last. They stay for as long as a host runs, and a table of hundreds of mounts takes
  /// longer to read than everything else that is asked of a container's cgroup.
  private static let mounts = Mutex<[CgroupMount]>([])

  /// - Throws: `.system` when the process is gone, or its cgroup is not below any mount seen here.
  static func ofProcess(_ pid: Int32) throws(OCIShimError) -> CgroupLocation {
    do throws(SystemError) {
      let cgroups = try text("/proc/\(pid)/cgroup", limit: 1 << 20)
      let known = mounts.withLock { $0 }
      if let location = CgroupLocation(cgroups: cgroups, among: known) { return location }
      let found = CgroupMount.all(try text("/proc/self/mountinfo", limit: 64 << 20))
      mounts.withLock { $0 = found }
      if let location = CgroupLocation(cgroups: cgroups, among: found) { return location }
    } catch {
      throw OCIShimError(
        code: .system, message: "the cgroup of process \(pid) cannot be found", cause: error)
    }
    throw OCIShimError(
      code: .system,
      message: "the cgroup of process \(pid) is below no cgroup mount of this process",
      hint: "Mount the host's /sys/fs/cgroup where the shim runs.")
  }

  private static func text(_ path: String, limit: Int) throws(SystemError) -> String {
    let file = try OwnedDescriptor(opening: path, 0)
    return String(decoding: try file.read(atMost: limit), as: UTF8.self)
  }

  /// - Parameters:
  ///   - cgroups: What `/proc/<pid>/cgroup` says: lines of `id:controllers:path`.
  ///   - mounts: What `/proc/self/mountinfo` says.
  init?(cgroups: String, mounts: String) {
    self.init(cgroups: cgroups, among: CgroupMount.all(mounts))
  }

  private init?(cgroups: String, among mounts: [CgroupMount]) {
    guard !mounts.isEmpty else { return nil }
    // A hybrid host has the unified hierarchy as well, but no controllers in it.
    let isUnified = !mounts.contains { !$0.controllers.isEmpty }
    var directories: [String: String] = [:]
    for line in cgroups.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let path = String(fields[2])
      if isUnified {
        guard fields[1].isEmpty, let mount = mounts.first(where: \.isUnified),
          let directory = mount.directory(of: path)
        else { continue }
        self = .unified(directory)
        return
      }
      for controller in fields[1].split(separator: ",") {
        let mount = mounts.first { $0.controllers.contains(controller) }
        if let directory = mount?.directory(of: path) {
          directories[String(controller)] = directory
        }
      }
    }
    guard !directories.isEmpty else { return nil }
    self = .separate(directories)
  }
}

/// A line of mountinfo, if it is of a cgroup hierarchy.
private struct CgroupMount: Sendable {
  let isUnified: Bool
  /// Those of a v1 hierarchy. One that only has a name, such as systemd's, has none.
  let controllers: Set<Substring>
  private let root: String
  private let point: String

  private static let notControllers: Set<Substring> = [
    "rw", "ro", "xattr", "noprefix", "clone_children", "none", "all",
  ]

  static func all(_ mounts: String) -> [CgroupMount] {
    mounts.split(separator: "\n").compactMap { CgroupMount($0) }
  }

  private init?(_ line: Substring) {
    let halves = line.split(separator: " ")
    guard let dash = halves.firstIndex(of: "-"), dash >= 6, halves.count > dash + 3 else {
      return nil
    }
    switch halves[dash + 1] {
    case "cgroup2":
      isUnified = true
      controllers = []
    case "cgroup":
      isUnified = false
      controllers = Set(halves[dash + 3].split(separator: ","))
        .subtracting(Self.notControllers).filter { !$0.contains("=") }
    default: return nil
    }
    root = String(halves[3])
    point = String(halves[4])
  }

  /// The directory of a cgroup that is at a path of the hierarchy, if it is below what is mounted.
  func directory(of path: String) -> String? {
    // Out of the process's own cgroup namespace.
    guard !path.hasPrefix("/..") else { return nil }
    if root == "/" { return path == "/" ? point : point + path }
    guard path == root || path.hasPrefix(root + "/") else { return nil }
    return point + path.dropFirst(root.count)
  }
}
