internal import Glibc
internal import LinuxSystem

extension Bundle {
  /// Makes the bundle of a new sandbox or task.
  ///
  /// Order and modes are those of containerd's runtime v2 (`core/runtime/v2/bundle.go`): parents 0711,
  /// the bundle 0700, or 0710 with the group that is root in the specification's user namespace;
  /// `rootfs` 0711; the work directory 0711, new in any case; the link `work`; `config.json` with
  /// exactly the bytes given. All that can be checked is checked before anything is made, and a
  /// failure removes what was made, and only that.
  ///
  /// - Parameter spec: the runtime specification; nil or empty for a bundle without `config.json`.
  /// - Throws: ``ShimManagementError`` with `invalidIdentifier`, `invalidSpec` (not JSON, not an
  ///   object), `bundleExists`, `notWritable`, `fileSystem`.
  public static func create(
    id: String, namespace: String, spec: [UInt8]?, in state: StateDirectory
  ) throws(ShimManagementError) -> Bundle {
    try BundleName.validate(namespace: namespace, id: id)
    var creation = BundleCreation(bundle: Bundle(id: id, namespace: namespace, in: state))
    var group: UInt32?
    if let spec, !spec.isEmpty { group = try OCISpec(parsingObject: spec).userNamespaceGroup() }
    do {
      try creation.makeBundle(group: group)
      try creation.makeWork()
      if let spec, !spec.isEmpty { try creation.writeConfig(spec) }
    } catch {
      creation.undo()
      throw creation.describe(error)
    }
    return creation.bundle
  }
}

/// One creation under way, and what it has made.
private struct BundleCreation {
  let bundle: Bundle
  /// Directories of the namespace, which others may use too: removed only when empty.
  private var parents = MadeDirectories()
  /// Directories that are this bundle's alone.
  private var own = MadeDirectories()
  private var files: [String] = []

  init(bundle: Bundle) { self.bundle = bundle }

  mutating func makeBundle(group: UInt32?) throws(SystemError) {
    try makeInNamespace(bundle.path, mode: 0o700)
    if let group {
      guard chown(bundle.path, uid_t.max, group) == 0 else {
        throw SystemError.last("chown", bundle.path)
      }
      guard chmod(bundle.path, 0o710) == 0 else { throw SystemError.last("chmod", bundle.path) }
    }
    try own.makeNew(bundle.rootfsPath, mode: 0o711)
  }

  mutating func makeWork() throws(SystemError) {
    // The bundle is new, so whatever lies here is left over from one that is gone.
    try TreeRemoval.remove(bundle.workPath)
    try makeInNamespace(bundle.workPath, mode: 0o711)
    guard symlink(bundle.workPath, bundle.workLink) == 0 else {
      throw SystemError.last("symlink", bundle.workLink)
    }
    files.append(bundle.workLink)
  }

  mutating func writeConfig(_ spec: [UInt8]) throws(SystemError) {
    // Registered first: it may be there, but not whole.
    files.append(bundle.configPath)
    try SmallFile.create(bundle.configPath, spec, mode: 0o644)
  }

  func undo() {
    // What stays behind because of a failure here is met by the next removal of this id.
    for file in files.reversed() { unlink(file) }
    own.remove()
    parents.remove()
  }

  func describe(_ error: SystemError) -> ShimManagementError {
    let name = "\(bundle.namespace)/\(bundle.id)"
    switch error.errno {
    case EEXIST where error.path == bundle.path:
      return ShimManagementError(
        code: .bundleExists, message: "the bundle \(name) is already there, at \(bundle.path)",
        hint: "Choose another id, or remove the sandbox or task that has it.")
    case EACCES, EPERM, EROFS:
      return ShimManagementError(
        code: .notWritable, message: "the bundle \(name) cannot be made",
        hint: "Run as a user that may write to the state directory.", cause: error)
    default:
      return ShimManagementError(
        code: .fileSystem, message: "the bundle \(name) cannot be made; what was made is removed",
        cause: error)
    }
  }

  /// Makes a new directory in that of the namespace, which another process may just be removing
  /// because its own creation in it failed: then it is made once more.
  private mutating func makeInNamespace(_ path: String, mode: mode_t) throws(SystemError) {
    var tries = 0
    while true {
      tries += 1
      if let parent = PathText.split(path)?.directory { try parents.make(parent, mode: 0o711) }
      do throws(SystemError) {
        return try own.makeNew(path, mode: mode)
      } catch  where error.errno == ENOENT && error.call == "mkdir" && tries < 10 {
        continue
      }
    }
  }
}
