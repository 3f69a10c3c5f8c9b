internal import RPCCore

/// That a process is not in a state for what was asked.
///
/// containerd's callers know these refusals by their code, and people by their words, so both are
/// those of containerd's own shim: Unknown, but NotFound for what is gone already.
struct LifecycleRefusal: Error, Hashable, Sendable {
  var code: RPCCode
  var message: String

  static func cannot(_ verb: String, _ what: String) -> LifecycleRefusal {
    LifecycleRefusal(code: .unknown, message: "cannot \(verb) \(what)")
  }

  var rpcError: RPCError { RPCError(code: code, message: message) }
}
