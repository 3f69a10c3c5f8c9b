internal import Glibc
internal import LinuxSystem

/// Removes a directory tree and nothing else: it follows no link and enters no mount, so that what is
/// mounted or bound into the tree (a user's directory, perhaps) is never touched.
enum TreeRemoval {
  /// Removes a file, a link itself, or a directory with all that is in it. A path where nothing is,
  /// is already removed.
  ///
  /// - Throws: ``SystemError``: EBUSY or EXDEV on something that is a mount. Then part of the tree
  ///   may be gone.
  static func remove(_ path: String) throws(SystemError) {
    guard let parts = PathText.split(path) else {
      throw SystemError("unlink", path, errno: EBUSY)
    }
    do throws(SystemError) {
      let parent = try OwnedDescriptor.directory(parts.directory)
      try remove(parts.name, in: parent, path: path, top: nil, depth: 0)
    } catch  where error.errno == ENOENT {
      return
    }
  }

  /// How deep directories are opened one in another. Deeper ones are first moved up to the top of the
  /// tree: neither descriptors nor stack may depend on what a container left behind.
  private static let deepest = 64

  /// - Parameter top: the directory of the tree that deep ones are moved to.
  private static func remove(
    _ name: String, in parent: borrowing OwnedDescriptor, path: String, top: Int32?, depth: Int
  ) throws(SystemError) {
    if unlinkat(parent.number, name, 0) == 0 || errno == ENOENT { return }
    guard errno == EISDIR || errno == EPERM else { throw SystemError.last("unlink", path) }
    if depth >= deepest, let top { return try moveUp(name, from: parent, to: top, path: path) }

    let directory = try parent.directory(beneath: name, path: path, stayOnMount: true)
    // What moved up from below is found by the next round at the top.
    while true {
      let names = try directory.names(of: path)
      if names.isEmpty { break }
      for child in names {
        try remove(
          child, in: directory, path: "\(path)/\(child)", top: top ?? directory.number,
          depth: depth + 1)
      }
      if depth > 0 { break }
    }
    guard unlinkat(parent.number, name, AT_REMOVEDIR) == 0 || errno == ENOENT else {
      throw SystemError.last("rmdir", path)
    }
  }

  private static func moveUp(
    _ name: String, from parent: borrowing OwnedDescriptor, to top: Int32, path: String
  ) throws(SystemError) {
    for number in 0..<Int.max {
      // The name is free, or that of an empty directory, which a rename replaces.
      if renameat(parent.number, name, top, ".deep-\(number)") == 0 { return }
      guard errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR else {
        throw SystemError.last("rename", path)
      }
    }
  }
}
