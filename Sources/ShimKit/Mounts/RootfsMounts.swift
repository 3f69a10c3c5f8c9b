internal import CLinux
public import ContainerdAPI
internal import Glibc
internal import LinuxSystem

/// Makes and removes the mounts that `Task.Create` asks for, on a container's rootfs.
public enum RootfsMounts {
  /// How often, and how long after one another, a mount that is in use is unmounted before it is
  /// taken away lazily.
  private static let tries = 10
  private static let pause = Duration.milliseconds(50)

  /// Mounts all of them, in their order, each on what the ones before it made.
  ///
  /// A target is a path within the rootfs. No symbolic link is followed on the way to it, so that
  /// none that an image has leads out of the rootfs. The rootfs directory itself is made, with mode
  /// 0711, when it is not there. When one cannot be made, those before it are unmounted again.
  ///
  /// - Parameter rootfs: the bundle's, an absolute path; its last component must not be a link.
  /// - Throws: `invalidRequest` for a target or an option that is refused, `system`.
  public static func mount(
    _ mounts: [Containerd_Types_Mount], on rootfs: String
  ) async throws(ShimKitError) {
    if mounts.isEmpty { return }
    let outcome: Result<Void, ShimKitError>
    do throws(SystemError) {
      outcome = try await onThread {
        Result { () throws(ShimKitError) in try make(mounts, on: rootfs) }
      }
    } catch {
      throw .mounting("mount on \(rootfs)", error)
    }
    do throws(ShimKitError) {
      try outcome.get()
    } catch {
      do {
        try await unmountAll(at: rootfs)
      } catch let left {
        throw ShimKitError(
          code: error.code,
          message: "\(error.message), and what was mounted before it stays (\(left))",
          hint: error.hint, cause: error.cause)
      }
      throw error
    }
  }

  /// Unmounts everything at the directory and below it, the deepest first; what is in use half a
  /// second later is taken away lazily, and ends with its last user. A directory that is not there
  /// has no mounts.
  ///
  /// - Throws: `system`.
  public static func unmountAll(at rootfs: String) async throws(ShimKitError) {
    do throws(SystemError) {
      let removal = MountRemoval(directory: rootfs)
      for _ in 0..<tries {
        if try await attempt(removal, lazily: false) == nil { return }
        // Cancelled: the tries come faster, and the end is the same.
        try? await Task.sleep(for: pause)
      }
      if let busy = try await attempt(removal, lazily: true) { throw busy }
    } catch {
      throw .mounting("unmount \(rootfs)", error)
    }
  }

  private static func attempt(
    _ removal: MountRemoval, lazily: Bool
  ) async throws(SystemError) -> SystemError? {
    try await onThread {
      Result { () throws(SystemError) in try removal.attempt(lazily: lazily) }
    }.get()
  }

  /// On a thread of its own.
  private static func make(
    _ mounts: [Containerd_Types_Mount], on rootfs: String
  ) throws(ShimKitError) {
    if mkdir(rootfs, 0o711) != 0, errno != EEXIST {
      throw .mounting("make the rootfs directory \(rootfs)", .last("mkdir", rootfs))
    }
    // A working directory of this thread's own, for the layers' sake.
    guard clinux_own_directory() == 0 else {
      throw .mounting("mount on \(rootfs)", .last("unshare"))
    }
    for mount in mounts { try make(mount, on: rootfs) }
  }

  private static func make(
    _ mount: Containerd_Types_Mount, on rootfs: String
  ) throws(ShimKitError) {
    let what = "mount \(mount.type) \(mount.source) on \(rootfs)/\(mount.target)"
    var options = try MountOptions(mount.options)
    if mount.type == "bind" || mount.type == "rbind" {
      options.flags |= UInt(MS_BIND) | (mount.type == "rbind" ? UInt(MS_REC) : 0)
    }
    guard ![mount.type, mount.source, mount.target].contains(where: { $0.utf8.contains(0) }),
      !mount.options.contains(where: { $0.utf8.contains(0) })
    else {
      throw ShimKitError(code: .invalidRequest, message: "cannot \(what): there is a NUL in it")
    }
    let parts = PathText.components(mount.target)
    guard !parts.contains("..") else {
      throw ShimKitError(
        code: .invalidRequest, message: "cannot \(what): the target climbs out of the rootfs")
    }
    let target = parts.joined(separator: "/")
    do throws(SystemError) {
      let text = try data(of: options)
      try at(target, in: rootfs) { place in
        Glibc.mount(
          mount.source, place, mount.type,
          options.flags & (options.isBind ? UInt(MS_BIND | MS_REC) : UInt.max), text)
      }
      // What was mounted hides the descriptor's directory, so each of these opens it anew.
      if options.bindFlags != 0 {
        try at(target, in: rootfs) { place in
          Glibc.mount(nil, place, nil, UInt(MS_REMOUNT | MS_BIND) | options.bindFlags, nil)
        }
      }
      if options.propagation != 0 {
        try at(target, in: rootfs) { place in
          Glibc.mount(nil, place, nil, options.propagation, nil)
        }
      }
    } catch {
      if error.errno == ELOOP {
        throw ShimKitError(
          code: .invalidRequest, message: "cannot \(what): a symbolic link is on the way",
          cause: error)
      }
      throw .mounting(what, error)
    }
  }

  /// The text for the file system, as short as it must be; the thread's directory is then where it
  /// starts.
  private static func data(of options: MountOptions) throws(SystemError) -> String {
    let limit = sysconf(Int32(_SC_PAGESIZE)) - 1
    let text = options.data.joined(separator: ",")
    guard text.utf8.count > limit else { return text }
    guard let layers = OverlayLayers(shortening: options.data) else {
      throw SystemError("mount", errno: E2BIG)
    }
    let short = layers.data.joined(separator: ",")
    guard short.utf8.count <= limit else { throw SystemError("mount", errno: E2BIG) }
    guard chdir(layers.directory) == 0 else { throw .last("chdir", layers.directory) }
    return short
  }

  /// Names a directory within the rootfs by its descriptor, which no link can turn elsewhere.
  private static func at(
    _ target: String, in rootfs: String, _ call: (String) -> Int32
  ) throws(SystemError) {
    let root = try OwnedDescriptor.directory(rootfs)
    let opened: OwnedDescriptor
    if target.isEmpty {
      opened = root
    } else {
      // A file, too: another may be bound over it.
      let number = clinux_place_beneath(root.number, target)
      guard number >= 0 else { throw .last("openat2", "\(rootfs)/\(target)") }
      opened = OwnedDescriptor(owning: number)
    }
    guard call("/proc/self/fd/\(opened.number)") == 0 else {
      throw .last("mount", target.isEmpty ? rootfs : "\(rootfs)/\(target)")
    }
  }
}

extension ShimKitError {
  fileprivate static func mounting(_ what: String, _ cause: SystemError) -> ShimKitError {
    let hint: String? =
      switch cause.errno {
      case EPERM: "Mounting takes CAP_SYS_ADMIN."
      case E2BIG: "The mount's options are longer than a page; use fewer layers."
      default: nil
      }
    return ShimKitError(code: .system, message: "cannot \(what)", hint: hint, cause: cause)
  }
}

/// Runs what may block for long on a thread of its own, whether or not the task is cancelled.
private func onThread<Value: Sendable>(
  _ body: @escaping @Sendable () -> Value
) async throws(SystemError) -> Value {
  let result: Result<Value, SystemError> = await withCheckedContinuation { continuation in
    do throws(SystemError) {
      try startThread("hawse-mount") { continuation.resume(returning: .success(body())) }
    } catch {
      continuation.resume(returning: .failure(error))
    }
  }
  return try result.get()
}
