internal import Glibc
internal import LinuxSystem

extension Bundle {
  /// Removes the bundle and its work directory. One that is not there is already removed.
  ///
  /// What is mounted below the bundle is unmounted first, deepest first and never lazily; then
  /// `rootfs`, which must be empty, is removed as a directory; then the bundle is renamed to `.<id>`,
  /// so that nobody sees half of one, and removed; and the same is done with the work directory, if
  /// the link `work` leads into our own root. Links are not followed and mounts not entered: what is
  /// bound into a container belongs to somebody else.
  ///
  /// Not subject to the caller's cancellation.
  ///
  /// - Parameter timeout: how long a mount that is in use is tried again.
  /// - Throws: ``ShimManagementError`` with `unmountFailed` (nothing was removed but mounts) or
  ///   `fileSystem`. A second call goes on where the first one failed.
  public func delete(timeout: Duration = .seconds(2)) async throws(ShimManagementError) {
    let work = await offload { ownWorkDirectory() }
    try await unmountAll(timeout: timeout)
    let failures = await offload { removeDirectories(work: work) }
    guard let first = failures.first else { return }
    let isRootfs = first.path == rootfsPath
    throw ShimManagementError(
      code: .fileSystem,
      message: "the bundle \(namespace)/\(id) cannot be removed whole",
      hint: isRootfs
        ? "Files lie in \(rootfsPath) itself, on no mount. Move them away if you need them, "
          + "remove them if not, and try again."
        : "Mend what is named and remove it again.",
      cause: failures.count > 1 ? SystemErrors(all: failures) : first)
  }

  /// Removes what interrupted removals left in the directories of a namespace: the `.<id>` of bundles
  /// and of work directories.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidIdentifier`, or `fileSystem` for the first one
  ///   that cannot be removed; the others are.
  public static func sweep(
    namespace: String, in state: StateDirectory
  ) async throws(ShimManagementError) {
    try BundleName.validate(namespace: namespace)
    let failures = await offload {
      ["\(state.bundles)/\(namespace)", "\(state.works)/\(namespace)"].flatMap(removeLeftOvers)
    }
    if let failure = failures.first {
      throw ShimManagementError(
        code: .fileSystem, message: "what a removal left over in \(namespace) cannot be removed",
        cause: failure)
    }
  }

  private static func removeLeftOvers(in directory: String) -> [SystemError] {
    var failures: [SystemError] = []
    do {
      for name in try OwnedDescriptor.directory(directory).names(of: directory)
      where isLeftOver(name) {
        do {
          try TreeRemoval.remove("\(directory)/\(name)")
        } catch {
          failures.append(error)
        }
      }
    } catch {
      if error.errno != ENOENT { failures.append(error) }
    }
    return failures
  }

  private static func isLeftOver(_ name: String) -> Bool {
    name.hasPrefix(".") && BundleName.isValid(String(name.dropFirst()))
  }

  /// The work directory to be removed: the one that the link leads to if that is ours, else the one
  /// that was made under this name.
  private func ownWorkDirectory() -> String {
    // What cannot be read or resolved is not to be followed.
    guard let target = try? linkTarget(workLink), let cleaned = PathText.cleaned(target),
      let parts = PathText.split(cleaned), parts.name == id,
      let directory = try? PathText.resolved(parts.directory),
      let root = try? PathText.resolved(state.root),
      PathText.split(directory)?.name == namespace, PathText.isInside(directory, root)
    else { return workPath }
    return "\(directory)/\(id)"
  }

  private func unmountAll(timeout: Duration) async throws(ShimManagementError) {
    let removal = MountRemoval(directory: path)
    // The clock starts at the first refusal, and a few tries are made whatever it says: on a machine
    // that is busy itself the time may pass without this process having had any of it.
    var deadline: ContinuousClock.Instant?
    var tries = 0
    var pause = Duration.milliseconds(5)
    while true {
      let busy: SystemError?
      do {
        busy = try await offload { () throws(SystemError) in try removal.attempt() }
      } catch {
        throw unmountFailure(error, hint: nil)
      }
      guard let busy else { return }
      tries += 1
      let end = deadline ?? ContinuousClock.now + timeout
      deadline = end
      guard tries < 4 || ContinuousClock.now < end else {
        throw unmountFailure(
          busy, hint: "Find who uses it with \"fuser -vm \(busy.path)\", end that, and try again.")
      }
      await uncancellableSleep(pause)
      pause = min(pause * 2, .milliseconds(100))
    }
  }

  private func unmountFailure(_ error: SystemError, hint: String?) -> ShimManagementError {
    ShimManagementError(
      code: .unmountFailed,
      message: "the bundle \(namespace)/\(id) is not removed, as something is still mounted in it",
      hint: hint, cause: error)
  }

  /// Tries both directories, and gives what failed. Nothing is removed if `rootfs` is not empty.
  private func removeDirectories(work: String) -> [SystemError] {
    // Only ever as an empty directory: with anything in it, it may be a user's.
    guard rmdir(rootfsPath) == 0 || errno == ENOENT || errno == ENOTDIR else {
      return [SystemError.last("rmdir", rootfsPath)]
    }
    var failures: [SystemError] = []
    do {
      try Self.removeAtomically(path)
    } catch {
      failures.append(error)
    }
    do {
      try Self.removeAtomically(work)
    } catch {
      failures.append(error)
    }
    return failures
  }

  private static func removeAtomically(_ path: String) throws(SystemError) {
    guard let parts = PathText.split(path) else {
      throw SystemError("rename", path, errno: EBUSY)
    }
    let hidden = "\(parts.directory)/.\(parts.name)"
    // Of a removal that did not get to its end; it would be in the way.
    try TreeRemoval.remove(hidden)
    guard rename(path, hidden) == 0 else {
      if errno == ENOENT { return }
      throw SystemError.last("rename", path)
    }
    try TreeRemoval.remove(hidden)
  }
}

/// Several of one operation, none of which is the others' cause.
private struct SystemErrors: Error, CustomStringConvertible {
  var all: [SystemError]

  var description: String { all.map(\.description).joined(separator: "; and ") }
}
