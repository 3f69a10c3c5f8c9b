internal import Glibc
internal import ProcessSupervision

/// Watches the memory cgroups of containers for kills.
public struct ContainerMemory: MemoryWatching {
  public init() {}

  /// - Throws: `system` when the cgroup cannot be found or watched.
  public func watch(
    _ process: JournalRecord.Process, _ tell: @escaping @Sendable () -> Void
  ) throws -> (any MemoryWatch)? {
    // Without the time of its start it had ended before it could be looked at.
    guard let startTime = process.startTime else { return nil }
    let identity = ProcessIdentity(pid: process.pid, startTime: startTime)
    do throws(OCIShimError) {
      let location = try CgroupLocation.ofProcess(process.pid)
      // A process that ends goes to its hierarchy's root, and one without a cgroup of its own is in
      // ours: other processes' kills are not its own.
      guard identity.isAlive, location.memory != (try CgroupLocation.ofProcess(getpid())).memory
      else { return nil }
      return try OOMWatch(location, tell)
    } catch {
      if error.code == .cgroupGone || !identity.isAlive { return nil }
      throw error
    }
  }
}

extension CgroupLocation {
  /// Where memory is counted.
  fileprivate var memory: String? {
    switch self {
    case .unified(let path): path
    case .separate(let directories): directories["memory"]
    }
  }
}
