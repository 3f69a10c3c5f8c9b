internal import ContainerdAPI
internal import ShimKit

/// A container's root file system, at `rootfs` in its bundle.
struct BundleMounts: RootfsMounts {
  func mount(_ mounts: [Containerd_Types_Mount], bundle: String) async throws {
    try await ShimKit.RootfsMounts.mount(mounts, on: "\(bundle)/rootfs")
  }

  func unmount(bundle: String) async throws {
    try await ShimKit.RootfsMounts.unmountAll(at: "\(bundle)/rootfs")
  }
}
