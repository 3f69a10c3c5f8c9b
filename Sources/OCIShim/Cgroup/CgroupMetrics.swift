internal import ContainerdAPI
internal import SwiftProtobuf

/// What a container uses, as the daemon wants to hear it.
///
/// The message's type says which generation of cgroups the host has; a daemon that gets the other one
/// cannot read it (gVisor's issue 11472).
enum CgroupMetrics {
  /// Reads all that there is, which blocks for as long as the kernel takes to count: a few
  /// milliseconds on a large machine.
  ///
  /// - Throws: `.cgroupGone` when the cgroup is gone.
  static func read(_ location: CgroupLocation) throws(OCIShimError) -> any Message {
    switch location {
    case .unified(let path):
      let cgroup = CgroupDirectory(path: path)
      guard cgroup.exists else { throw gone(path) }
      return Io_Containerd_Cgroups_V2_Metrics(cgroup)
    case .separate(let directories):
      guard directories.values.contains(where: { CgroupDirectory(path: $0).exists }) else {
        throw gone(directories["memory"] ?? directories.values.min() ?? "")
      }
      return Io_Containerd_Cgroups_V1_Metrics(directories)
    }
  }

  private static func gone(_ path: String) -> OCIShimError {
    OCIShimError(code: .cgroupGone, message: "the cgroup \(path) does not exist")
  }
}
