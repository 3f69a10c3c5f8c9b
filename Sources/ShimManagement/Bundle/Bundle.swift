internal import Glibc
internal import LinuxSystem
public import ShimProtocol

/// The directory of one sandbox or task, from which its shim and its OCI runtime work.
///
/// A value that names the directory; the disk has the state. What is in it is laid out as containerd's
/// runtime v2 does: `config.json`, `rootfs/`, the link `work`, and what is written at start or attach.
///
/// Creating, loading and listing are a few system calls on local files and are not async; what may
/// wait (removing) is.
public struct Bundle: Hashable, Sendable {
  public let id: String
  public let namespace: String
  /// The bundle's directory; absolute.
  public let path: String
  /// The state directory that it lies in.
  public let state: StateDirectory

  init(id: String, namespace: String, in state: StateDirectory) {
    self.id = id
    self.namespace = namespace
    self.state = state
    path = state.bundlePath(namespace: namespace, id: id)
  }

  /// The small files in it, such as `bootstrap.json`.
  public var files: BundleFiles { BundleFiles(path: path) }
  /// Where the root file system is mounted.
  public var rootfsPath: String { "\(path)/rootfs" }
  public var configPath: String { files.path(of: BundleFiles.configFile) }
  /// The link to the work directory.
  public var workLink: String { "\(path)/work" }
  /// The work directory as it is made for a bundle of this name.
  public var workPath: String { state.workPath(namespace: namespace, id: id) }
}

extension Bundle {
  /// The bundle of that name, which must be there. Nothing but the directory itself is looked at.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidIdentifier`, `bundleNotFound` (nothing there, or
  ///   a link, or no directory), `fileSystem`.
  public static func load(
    id: String, namespace: String, in state: StateDirectory
  ) throws(ShimManagementError) -> Bundle {
    try BundleName.validate(namespace: namespace, id: id)
    let bundle = Bundle(id: id, namespace: namespace, in: state)
    do throws(SystemError) {
      if try FileStatus.ofItself(bundle.path)?.isDirectory == true { return bundle }
    } catch {
      throw ShimManagementError(
        code: .fileSystem, message: "the bundle \(bundle.path) cannot be looked at", cause: error)
    }
    throw ShimManagementError(
      code: .bundleNotFound, message: "there is no bundle \(namespace)/\(id) at \(bundle.path)",
      hint: "Check the id, the namespace and the state directory.")
  }

  /// All bundles of a namespace in the order of their ids. What is no directory, has no valid name
  /// (a removal that was interrupted leaves `.<id>`) or is a link is left out.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidIdentifier`, `fileSystem`.
  public static func list(
    namespace: String, in state: StateDirectory
  ) throws(ShimManagementError) -> [Bundle] {
    try BundleName.validate(namespace: namespace)
    return try directories(in: "\(state.bundles)/\(namespace)").map {
      Bundle(id: $0, namespace: namespace, in: state)
    }
  }

  /// The namespaces that have, or had, bundles.
  ///
  /// - Throws: ``ShimManagementError`` with `fileSystem`.
  public static func namespaces(in state: StateDirectory) throws(ShimManagementError) -> [String] {
    try directories(in: state.bundles)
  }

  private static func directories(in path: String) throws(ShimManagementError) -> [String] {
    do throws(SystemError) {
      var names: [String] = []
      for name in try OwnedDescriptor.directory(path).names(of: path)
      where BundleName.isValid(name) {
        if try FileStatus.ofItself("\(path)/\(name)")?.isDirectory == true { names.append(name) }
      }
      return names.sorted()
    } catch  where error.errno == ENOENT {
      return []
    } catch {
      throw ShimManagementError(
        code: .fileSystem, message: "the bundles in \(path) cannot be listed", cause: error)
    }
  }

  /// The bytes of `config.json`; nil if the bundle was made without.
  ///
  /// - Throws: ``ShimManagementError`` with `damagedState` (too large, not a regular file) or
  ///   `fileSystem`.
  public func config() throws(ShimManagementError) -> [UInt8]? {
    do {
      return try files.readConfig()
    } catch {
      if error.code == .missingFile { return nil }
      throw ShimManagementError(
        code: error.code == .fileOperationFailed ? .fileSystem : .damagedState,
        message: "the specification of \(namespace)/\(id) cannot be read", cause: error)
    }
  }
}
