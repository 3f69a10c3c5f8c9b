internal import Glibc
internal import ShimProtocol
internal import TransportCore

/// The socket files of a shim that was killed. A shim removes its own when it ends by itself; after
/// one that could not, nobody does, not even its binary's `delete` (containerd 1.6).
extension ShimManager {
  /// Removes the sockets that belonged to the shim of this bundle, where nobody listens any more.
  ///
  /// Only by the names that we make ourselves: what a bundle's files name is no reason to remove it.
  /// To be called under the bundle's lock, so that no new shim of this id comes meanwhile; a task's
  /// sandbox has its own bundle, and is not ours to judge.
  func removeDeadSocket(of bundle: Bundle) async {
    guard sandboxID(of: bundle) == nil else { return }
    // A spec that cannot be read names no group.
    let group = (try? BundleFiles(path: bundle.path).readConfig())
      .flatMap { try? OCISpec(parsing: $0) }?.group
    for id in Set([bundle.id, group].compactMap { $0 }) {
      for debug in [false, true] {
        let name = SocketName.address(
          daemonAddress: configuration.daemonAddress, namespace: bundle.namespace, id: id,
          debug: debug)
        await removeIfDead(String(name.dropFirst("unix://".count)))
      }
    }
  }

  private func removeIfDead(_ path: String) async {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK,
      await isDead(TransportAddress(place: .unix(path: path)))
    else { return }
    unlink(path)
  }
}
