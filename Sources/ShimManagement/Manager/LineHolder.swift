/// What uses a connection to a shim until it gives it back: a task, or a sandbox.
protocol LineHolder: AnyObject, Sendable {
  var bundle: Bundle { get }
  /// The connection that is used now.
  var lease: ShimConnections.Lease { get }
  /// The log of the shim that was started for it, read for as long as this is held.
  var log: ShimLog? { get }

  /// Goes on with another connection to the same shim. Calls that are under way have failed.
  func relink(_ lease: ShimConnections.Lease)

  /// The manager holds it no more: there is no other connection to wait for.
  func letGone()
}

extension LineHolder {
  var namespace: String { bundle.namespace }
  func letGone() {}
}
