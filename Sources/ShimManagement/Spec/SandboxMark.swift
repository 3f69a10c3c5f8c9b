internal import ShimProtocol

/// What marks a bundle as a sandbox's or as a container's of a sandbox: the annotations that
/// Kubernetes' container runtime interface uses, which shims look at too.
public enum SandboxMark {
  static let kind = "io.kubernetes.cri.container-type"
  static let sandbox = "io.kubernetes.cri.sandbox-id"
  /// What runc's shim groups by.
  static let group = "io.containerd.runc.v2.group"

  /// Marks the spec of a sandbox's own task.
  public static func markSandbox(_ spec: inout OCISpec, id: String) {
    spec.annotations[kind] = "sandbox"
    spec.annotations[sandbox] = id
    spec.annotations[group] = id
  }

  /// Marks the spec of a task that is attached to a sandbox.
  public static func markTask(_ spec: inout OCISpec, ofSandbox id: String) {
    spec.annotations[kind] = "container"
    spec.annotations[sandbox] = id
    spec.annotations[group] = id
  }

  static func isSandbox(_ bundle: Bundle) -> Bool {
    // A spec that cannot be read marks nothing.
    guard let bytes = try? BundleFiles(path: bundle.path).readConfig(),
      let spec = try? OCISpec(parsing: bytes)
    else { return false }
    return spec.annotations[kind] == "sandbox"
  }
}
