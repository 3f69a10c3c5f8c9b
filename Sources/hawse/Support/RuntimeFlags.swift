import ArgumentParser
import ShimManagement
import SwiftProtobuf

/// The options of runc's shim.
struct RuntimeFlags: ParsableArguments {
  @Option(help: ArgumentHelp("The OCI runtime: a name on PATH, or a path.", valueName: "runc"))
  var ociRuntime: String?

  @Option(
    help: ArgumentHelp(
      "Where the OCI runtime keeps its state (default: below --state).", valueName: "dir"))
  var ociRoot: String?

  @Flag(help: "Have cgroups made through systemd.") var systemdCgroup = false

  /// The options for a shim binary; only runc's shim is sent them unasked.
  ///
  /// - Parameter shim: the runtime's name or the binary's path; `nil` when it is not known.
  func packed(for shim: String?, state: String) throws -> Google_Protobuf_Any? {
    let asked = ociRuntime != nil || ociRoot != nil || systemdCgroup
    guard asked || shim?.contains("runc") == true else { return nil }
    var options = RuncOptions()
    options.binary = ociRuntime
    options.root = ociRoot ?? "\(state)/runc"
    options.systemdCgroup = systemdCgroup
    return try options.packed()
  }
}
