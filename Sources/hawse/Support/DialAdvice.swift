import TransportCore

extension TransportError {
  /// With what this program can do about it: its options, and what a phase that takes too long means.
  var advised: TransportError {
    guard let last = attempts.last?.failure else { return self }
    var error = self
    if code == .timedOut, hint == nil {
      switch last.phase {
      case .tls: error.hint = "see whether the peer speaks TLS there, or give it longer: --timeout"
      case .probe:
        let rpc = message.contains("grpc+") ? "gRPC" : "ttrpc"
        error.hint = "see whether the peer speaks \(rpc) there, or give it longer: --timeout"
      default: error.hint = "see whether the peer is alive, or give it longer: --timeout"
      }
    }
    if last.phase == .tls, let hint, hint.contains("=") {
      error.hint = "\(hint) (in the address, or in a profile: --tls-profile)"
    }
    return error
  }
}
