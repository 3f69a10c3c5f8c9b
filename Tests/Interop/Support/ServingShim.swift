import Testing

/// The shims that serve the tests' sandboxes: what is expected of one is expected of the other.
enum ServingShim: String, CaseIterable, CustomTestStringConvertible {
  case debian = "containerd-shim-runc-v2"
  case hawsepipe = "containerd-shim-hawsepipe-v1"

  var path: String {
    switch self {
    case .debian: RealPeers.shim
    case .hawsepipe: HostFiles.ourShim
    }
  }

  var testDescription: String { rawValue }
}
