internal import Glibc
internal import LinuxSystem
internal import Logging

extension ShimManager {
  /// Removes what interrupted removals left, and the work directories of ids that have no bundle.
  ///
  /// - Returns: the work directories, as `namespace/id`.
  func sweep(namespaces: Set<String>) async -> [String] {
    let state = configuration.directory
    let logger = configuration.logger
    let all = await offload { Self.workNamespaces(in: state).union(namespaces) }
    var swept: [String] = []
    for namespace in all.sorted() where BundleName.isValid(namespace) {
      state.sweepLocks(namespace: namespace)
      do {
        try await Bundle.sweep(namespace: namespace, in: state)
      } catch {
        logger.warning(
          "cannot remove what a removal left",
          metadata: ["namespace": "\(namespace)", "error": "\(error)"])
      }
      swept += await offload { Self.sweepWork(of: namespace, in: state, logger) }
    }
    return swept
  }

  private static func workNamespaces(in state: StateDirectory) -> Set<String> {
    // Without the directory there is nothing to sweep; one that cannot be read is met by its next user.
    Set((try? OwnedDescriptor.directory(state.works).names(of: state.works)) ?? [])
  }

  private static func sweepWork(
    of namespace: String, in state: StateDirectory, _ logger: Logger
  ) -> [String] {
    let directory = "\(state.works)/\(namespace)"
    // As above.
    guard let status = try? FileStatus.ofItself(directory), status.isDirectory,
      let names = try? OwnedDescriptor.directory(directory).names(of: directory)
    else { return [] }
    return names.sorted().filter { BundleName.isValid($0) }.compactMap { id in
      let path = "\(directory)/\(id)"
      do throws(SystemError) {
        // Under its lock: a creation or a removal may be under way.
        guard let lock = try FileLock.tryAcquire("\(state.locks)/\(namespace):\(id)") else {
          return nil
        }
        defer { lock.release() }
        let bundle = state.bundlePath(namespace: namespace, id: id)
        guard try FileStatus.ofItself(bundle) == nil, let work = try FileStatus.ofItself(path),
          work.isDirectory, work.owner == geteuid()
        else { return nil }
        try TreeRemoval.remove(path)
        return "\(namespace)/\(id)"
      } catch {
        logger.warning(
          "cannot remove a work directory that belongs to nothing",
          metadata: ["path": "\(path)", "error": "\(error)"])
        return nil
      }
    }
  }
}
