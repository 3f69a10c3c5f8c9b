internal import Glibc
internal import LinuxSystem
internal import Logging
internal import ProcessSupervision
internal import ShimProtocol
internal import TransportCore

/// What a shim binary left running though its `start` failed, or though who ran it died before the
/// shim was recorded: it is found by the directory it runs in.
extension ShimManager {
  /// Ends every process that runs in the directory of a bundle which is about to be removed.
  ///
  /// A shim binary runs in the bundle, and so does what it starts: nobody else has a reason to be in
  /// it, and a container's processes have their own root.
  func endStrays(in bundle: Bundle) async {
    let path = bundle.path
    let strays = await offload { Self.processes(in: path) }
    guard !strays.isEmpty else { return }
    // Shims up to containerd 1.7 write down where they listen, so that one can be asked after all,
    // and removes its socket.
    if let params = try? bundle.files.readAddressFile(),
      let address = try? params.endpoint(origin: .received)
    {
      await stopStray(address, version: params.version, of: bundle)
    }
    await withTaskGroup { group in
      for stray in strays {
        group.addTask { await self.end(stray, of: bundle) }
      }
    }
  }

  private func end(_ process: ProcessIdentity, of bundle: Bundle) async {
    if await process.waitForEnd(within: configuration.limits.stray) { return }
    configuration.logger.debug(
      "ending what a failed start left running",
      metadata: ["id": "\(bundle.id)", "pid": "\(process.pid)"])
    guard process.signal(SIGTERM) else { return }
    if await process.waitForEnd(within: configuration.limits.stray) { return }
    guard process.signal(SIGKILL) else { return }
    _ = await process.waitForEnd(within: configuration.limits.cleanup)
  }

  private static func processes(in directory: String) -> [ProcessIdentity] {
    // Without /proc nothing can be found, and nothing is ended.
    guard let names = try? OwnedDescriptor.directory("/proc").names() else { return [] }
    return names.compactMap { name in
      // A process that is gone by now is none of them.
      guard let pid = Int32(name), pid != getpid(),
        (try? linkTarget("/proc/\(pid)/cwd")) == directory
      else { return nil }
      return ProcessIdentity(pid: pid)
    }
  }
}
