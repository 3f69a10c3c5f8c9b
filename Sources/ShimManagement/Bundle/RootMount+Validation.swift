internal import CLinux
public import ContainerdClient
internal import Glibc
internal import LinuxSystem

extension RootMount {
  /// Checks that the target does not lead out of the root file system: no absolute path, no `..`, and
  /// no symbolic link on the way, wherever it may lead. What is not there yet is no fault.
  ///
  /// - Parameter rootfs: the directory that the target is relative to, as it will be when the mount is
  ///   made.
  /// - Throws: ``ShimManagementError`` with `invalidRootfs`.
  public func validateTarget(in rootfs: String) throws(ShimManagementError) {
    func refusal(_ fault: String, _ cause: SystemError? = nil) -> ShimManagementError {
      ShimManagementError(
        code: .invalidRootfs,
        message: "the mount target \"\(target)\" of \(source) is refused: it \(fault)",
        hint: "Give a path relative to the root file system that stays in it.", cause: cause)
    }
    let parts = PathText.components(target)
    guard !target.hasPrefix("/") else { throw refusal("is absolute") }
    guard !target.utf8.contains(0) else { throw refusal("has a NUL in it") }
    guard !parts.contains("..") else { throw refusal("climbs out of the root file system") }
    if parts.isEmpty { return }
    do throws(SystemError) {
      let root = try OwnedDescriptor.directory(rootfs)
      // The longest part of the way that is there must be free of links; the kernel looks.
      for count in 1...parts.count {
        let way = parts.prefix(count).joined(separator: "/")
        guard clinux_walk_beneath(root.number, way) == 0 else {
          throw SystemError.last("openat2", "\(rootfs)/\(way)")
        }
      }
    } catch {
      switch error.errno {
      case ENOENT: return
      case ELOOP: throw refusal("goes through the symbolic link \(error.path)")
      case ENOTDIR: throw refusal("goes through \(error.path), which is not a directory")
      default: throw refusal("cannot be looked at", error)
      }
    }
  }
}
