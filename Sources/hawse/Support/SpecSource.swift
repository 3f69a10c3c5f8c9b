import Foundation
import ShimManagement
import ShimProtocol

/// The OCI spec that the flags ask for.
struct SpecSource {
  var spec: OCISpec

  /// - Parameters:
  ///   - args: the command; with `--config` it may be empty, and replaces the file's when it is not.
  init(
    _ flags: ContainerFlags, id: String, namespace: String, args: [String], terminal: Bool
  ) throws {
    let rootfs = try flags.rootfs.map {
      try RootfsSource(directory: Self.absolute($0))
    }
    if let file = flags.config {
      spec = try Self.read(file)
      try spec.setProcess(
        args: args.isEmpty ? spec.args : args, env: OCISpec.merged(spec.env, flags.env),
        cwd: flags.cwd ?? spec.cwd ?? "/", terminal: terminal,
        user: try flags.user.map { try OCIUser(parsing: $0) } ?? spec.user)
      if let hostname = flags.hostname { spec.hostname = hostname }
      if rootfs == nil { try Self.requireAbsoluteRoot(of: spec, file: file) }
    } else {
      guard rootfs != nil else {
        throw ShimManagementError(
          code: .invalidRootfs, message: "cannot make a container \(id) without a root file system",
          hint: "Name a directory with --rootfs, or a config.json with --config.")
      }
      spec = try OCISpec.standard(
        id: id, namespace: namespace, args: args, env: flags.env, cwd: flags.cwd ?? "/",
        terminal: terminal, user: try flags.user.map { try OCIUser(parsing: $0) } ?? OCIUser(),
        hostname: flags.hostname)
    }
    // The directory itself, as `ctr run --rootfs` has it: nothing is mounted that could be left
    // behind, and no shim's unmounting can reach what the user has mounted below it.
    if let rootfs { spec.rootPath = rootfs.path }
    if flags.readOnly { spec.isRootReadonly = true }
    for mount in flags.mount { spec.addMount(try OCIMount(parsing: mount)) }
  }

  private static func read(_ file: String) throws -> OCISpec {
    let bytes: [UInt8]
    do {
      let path = absolute(file)
      let directory = (path as NSString).deletingLastPathComponent
      bytes = try BundleFiles(path: directory).read(
        (path as NSString).lastPathComponent, limit: BundleFiles.maximumConfigSize)
    } catch {
      throw ShimManagementError(
        code: .invalidSpec, message: "cannot read the config \(file)", cause: error)
    }
    do {
      return try OCISpec(parsing: bytes)
    } catch {
      throw ShimManagementError(
        code: .invalidSpec, message: "cannot use the config \(file)", cause: error)
    }
  }

  /// The bundle is ours, so a root that the file gives relative to itself would not be found there.
  private static func requireAbsoluteRoot(of spec: OCISpec, file: String) throws {
    guard let root = spec.rootPath, root.hasPrefix("/") else {
      throw ShimManagementError(
        code: .invalidRootfs,
        message: "the config \(file) gives its root file system as "
          + "\(spec.rootPath.map { "\"\($0)\"" } ?? "nothing"), which is relative to its own bundle",
        hint: "Name the directory with --rootfs, or write an absolute root.path.")
    }
    _ = try RootfsSource(directory: root)
  }

  private static func absolute(_ path: String) -> String {
    path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
  }
}
