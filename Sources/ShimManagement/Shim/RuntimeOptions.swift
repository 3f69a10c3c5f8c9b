internal import ContainerdAPI
public import SwiftProtobuf

/// The options of runc's shim, as far as the command line and the manager set them.
public struct RuncOptions: Sendable, Hashable {
  /// The OCI runtime's executable: a name on the shim's PATH, or a path. `nil`: runc.
  public var binary: String?
  /// Where the runtime keeps its state. The namespace is appended to it.
  public var root: String?
  /// Whether cgroups are made through systemd.
  public var systemdCgroup = false
  /// Whether the terminal's or init's session keyring is left alone.
  public var noNewKeyring = false

  public init() {}

  /// As a shim's `start` and `Create` take them.
  public func packed() throws(ShimManagementError) -> Google_Protobuf_Any {
    var options = Containerd_Runc_V1_Options()
    options.binaryName = binary ?? ""
    options.root = root ?? ""
    options.systemdCgroup = systemdCgroup
    options.noNewKeyring = noNewKeyring
    do {
      return try TypeURL.pack(options)
    } catch {
      throw ShimManagementError(
        code: .startFailed, message: "cannot encode the runtime options", cause: error)
    }
  }
}
