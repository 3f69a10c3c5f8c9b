public import ContainerdClient
internal import Glibc
internal import LinuxSystem

/// A directory of the user's that is to be a container's root file system.
///
/// It reaches the container in one of two ways: as a mount that the shim makes on the bundle's
/// `rootfs` (``bindMount``), or as `root.path` of the specification (``path``), which puts no mount
/// into the host's mount table at all.
public struct RootfsSource: Hashable, Sendable {
  /// The directory: absolute, without links.
  public let path: String
  public let isReadonly: Bool

  /// Looks at the directory and resolves its path.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidRootfs`: nothing there, no directory, a symbolic
  ///   link (whoever owns the link could turn it elsewhere between this look and the mount), the
  ///   host's own root.
  public init(directory: String, readonly: Bool = false) throws(ShimManagementError) {
    func refusal(_ fault: String, _ hint: String, _ cause: SystemError? = nil)
      -> ShimManagementError
    {
      ShimManagementError(
        code: .invalidRootfs, message: "the root file system \"\(directory)\" \(fault)", hint: hint,
        cause: cause)
    }
    let parts = PathText.components(directory)
    guard !directory.isEmpty, !directory.utf8.contains(0) else {
      throw refusal("is not a path", "Give the directory that holds it.")
    }
    // Without the slashes at the end, which would make lstat follow a link.
    let bare = (directory.hasPrefix("/") ? "/" : "") + parts.joined(separator: "/")
    let place = bare.isEmpty ? "." : bare
    do throws(SystemError) {
      guard let status = try FileStatus.ofItself(place) else {
        throw SystemError("lstat", place, errno: ENOENT)
      }
      if status.isLink { throw SystemError("lstat", place, errno: ELOOP) }
      if !status.isDirectory { throw SystemError("lstat", place, errno: ENOTDIR) }
      path = try PathText.resolved(place)
      isReadonly = readonly
    } catch {
      switch error.errno {
      case ENOENT:
        throw refusal("is not there", "Unpack one there, or give the path of another.")
      case ELOOP:
        throw refusal("is a symbolic link", "Give the directory that it leads to.")
      case ENOTDIR:
        throw refusal("is not a directory", "Unpack it into one, and give that.")
      default:
        throw refusal("cannot be used", "Mend what is named.", error)
      }
    }
    guard path != "/" else {
      throw refusal("is the host's own", "Give a directory with a root file system of its own.")
    }
  }

  /// The mount for `Task.Create` that puts the directory on the bundle's `rootfs`.
  public var bindMount: RootMount {
    RootMount(type: "bind", source: path, options: ["rbind", isReadonly ? "ro" : "rw"])
  }
}
