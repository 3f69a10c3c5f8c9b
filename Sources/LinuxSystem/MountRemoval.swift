internal import CLinux
internal import Glibc

/// Unmounts everything below a directory, so that the directory can be removed without taking with it
/// what was mounted there.
package struct MountRemoval {
  package let directory: String

  package init(directory: String) { self.directory = directory }

  /// Takes away every mount at or below the directory, deepest first, several on one point one after
  /// the other: when it returns nothing, nothing is mounted there any more.
  ///
  /// A directory that is not there has no mounts.
  ///
  /// - Parameter lazily: take away what is in use, too: it ends with its last user.
  /// - Returns: the mount that is in use, if one is; the caller may try again later.
  /// - Throws: ``SystemError`` for any failure but EBUSY.
  package func attempt(lazily: Bool = false) throws(SystemError) -> SystemError? {
    let resolved: String
    do {
      resolved = try PathText.resolved(directory)
    } catch {
      if error.errno == ENOENT { return nil }
      throw error
    }
    // A pass may uncover what another mount had hidden. Each takes at least one mount away or ends.
    while true {
      let points = try MountTable.current().points(inside: resolved)
      if points.isEmpty { return nil }
      var busy: SystemError?
      var removed = 0
      for point in points {
        try isolateParents(of: point, among: points)
        do throws(SystemError) {
          if try unmount(point, lazily) { removed += 1 }
        } catch  where error.errno == EBUSY {
          busy = busy ?? error
        }
      }
      if removed == 0 {
        return busy ?? SystemError("umount", points[0], errno: EBUSY)
      }
    }
  }

  /// Cuts the mounts that a mount point lies on off from their peers. What was bound in recursively
  /// from a directory with mounts of its own shares their propagation: to unmount the copy of such a
  /// mount would unmount the user's original too.
  private func isolateParents(of point: String, among points: [String]) throws(SystemError) {
    for parent in Set(points) where point.hasPrefix(parent + "/") {
      _ = try at(parent, "make private") { path in mount(nil, path, nil, UInt(MS_PRIVATE), nil) }
    }
  }

  /// Removes the topmost mount of a point; false if there is none, or another mount hides it.
  private func unmount(_ point: String, _ lazily: Bool) throws(SystemError) -> Bool {
    try at(point, "umount") { path in
      umount2(path, Int32(UMOUNT_NOFOLLOW) | (lazily ? Int32(MNT_DETACH) : 0))
    }
  }

  /// Names a mount point by the descriptor of the directory that it lies in, opened without following
  /// a link: nobody can turn a component of its path into a link to another mount meanwhile.
  ///
  /// - Returns: false if there is no mount point at the path.
  private func at(
    _ point: String, _ name: String, _ call: (String) -> Int32
  ) throws(SystemError) -> Bool {
    guard let parts = PathText.split(point) else {
      throw SystemError(name, point, errno: EBUSY)
    }
    let relative = PathText.components(parts.directory).joined(separator: "/")
    do throws(SystemError) {
      let parent = try OwnedDescriptor.directory("/").directory(
        beneath: relative.isEmpty ? "." : relative, path: parts.directory, stayOnMount: false)
      guard call("/proc/self/fd/\(parent.number)/\(parts.name)") == 0 else {
        throw SystemError.last(name, point)
      }
      return true
    } catch  where error.errno == EINVAL || error.errno == ENOENT {
      return false
    }
  }
}
