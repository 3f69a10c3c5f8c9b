internal import CLinux
public import ContainerdAPI
internal import Glibc

/// A mount that a shim makes below a bundle's `rootfs`: containerd's `containerd.types.Mount`.
public struct RootfsMount: Hashable, Sendable {
  public var type: String
  public var source: String
  /// Where below `rootfs` it goes; empty for `rootfs` itself.
  public var target: String
  public var options: [String]

  public init(type: String, source: String, target: String = "", options: [String] = []) {
    self.type = type
    self.source = source
    self.target = target
    self.options = options
  }

  /// Checks that the target does not lead out of the root file system: no absolute path, no `..`, and
  /// no symbolic link on the way, wherever it may lead. What is not there yet is no fault.
  ///
  /// - Parameter rootfs: the directory that the target is relative to, as it will be when the mount is
  ///   made.
  /// - Throws: ``ShimManagementError`` with `invalidRootfs`.
  public func validateTarget(in rootfs: String) throws(ShimManagementError) {
    func refusal(_ fault: String, _ cause: FileSystemError? = nil) -> ShimManagementError {
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
    do throws(FileSystemError) {
      let root = try OwnedDescriptor.directory(rootfs)
      // The longest part of the way that is there must be free of links; the kernel looks.
      for count in 1...parts.count {
        let way = parts.prefix(count).joined(separator: "/")
        guard clinux_walk_beneath(root.raw, way) == 0 else {
          throw FileSystemError("openat2", "\(rootfs)/\(way)")
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

  /// The message for `Task.Create`.
  public var message: Containerd_Types_Mount {
    var message = Containerd_Types_Mount()
    message.type = type
    message.source = source
    message.target = target
    message.options = options
    return message
  }
}
