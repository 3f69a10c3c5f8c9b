internal import Glibc
internal import JSON
internal import LinuxSystem
internal import ShimProtocol

/// The cgroups of a container that its runtime knows nothing of: one that was killed in the middle
/// of `create` had made them, and had not yet written down that it had.
enum CgroupRemains {
  /// Removes those of the bundle's configuration that have no process in them. The kernel itself
  /// keeps the others.
  ///
  /// It is done again for a while: what the runtime had begun to start ends by itself, but not at
  /// once.
  static func remove(bundle: String) async {
    guard let path = path(bundle: bundle) else { return }
    for attempt in 0..<20 {
      var isLeft = false
      for directory in directories(of: path) where !removeTree(directory) { isLeft = true }
      guard isLeft, attempt < 19 else { return }
      // Not cancelled: it is part of cleaning up.
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  /// An absolute path of the configuration. Any other is the runtime's or systemd's to lay out.
  private static func path(bundle: String) -> String? {
    guard
      // A bundle without a configuration has no cgroup that could be known.
      let bytes = try? BundleFiles(path: bundle).read("config.json", limit: 16 << 20),
      let spec = try? JSONValue(parsing: bytes),
      let path = spec["linux", "cgroupsPath"]?.string, path.hasPrefix("/"), path.count > 1
    else { return nil }
    return path.split(separator: "/").contains("..") ? nil : path
  }

  static func directories(of path: String) -> [String] {
    guard let mounts = CgroupDirectory(path: "/proc/self").text("mountinfo") else { return [] }
    let points = mounts.split(separator: "\n").compactMap { line -> String? in
      let fields = line.split(separator: " ")
      guard let dash = fields.firstIndex(of: "-"), dash >= 6, fields.count > dash + 1,
        fields[dash + 1].hasPrefix("cgroup")
      else { return nil }
      return String(fields[4])
    }
    return Set(points).map { $0 + path }.filter { access($0, F_OK) == 0 }
  }

  private static func removeTree(_ directory: String) -> Bool {
    if rmdir(directory) == 0 || errno == ENOENT { return true }
    for child in children(of: directory) where !removeTree(child) { return false }
    return rmdir(directory) == 0 || errno == ENOENT
  }

  private static func children(of directory: String) -> [String] {
    // Gone meanwhile: nothing is left in it.
    guard let opened = try? OwnedDescriptor(opening: directory, O_RDONLY | O_DIRECTORY),
      let names = try? opened.names()
    else { return [] }
    return names.map { "\(directory)/\($0)" }.filter { path in
      var status = stat()
      return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
  }
}
