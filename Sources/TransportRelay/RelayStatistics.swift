internal import Synchronization

/// What a relay counted.
public struct RelayStatistics: Sendable, Hashable {
  /// Bytes read from the near side, which was accepted.
  public var bytesFromNear = 0
  /// Bytes read from the far side, which was dialled.
  public var bytesFromFar = 0
  /// Connections that are there now, those included for which the far side is being dialled.
  public var open = 0
  /// Connections accepted.
  public var total = 0
  /// Peers that the policy did not let in.
  public var refused = 0
  /// Connections for which the far side could not be dialled.
  public var failed = 0
  /// Bridges that did not end in order: reset, or closed at a limit.
  public var broken = 0

  public init() {}
}

/// The counters themselves, which all event loops add to.
final class RelayCounters: Sendable {
  let bytesFromNear = Atomic(0)
  let bytesFromFar = Atomic(0)
  let open = Atomic(0)
  let total = Atomic(0)
  let failed = Atomic(0)
  let broken = Atomic(0)

  func received(_ count: Int, _ side: RelayStateMachine.Side) {
    switch side {
    case .near: bytesFromNear.wrappingAdd(count, ordering: .relaxed)
    case .far: bytesFromFar.wrappingAdd(count, ordering: .relaxed)
    }
  }

  var statistics: RelayStatistics {
    var statistics = RelayStatistics()
    statistics.bytesFromNear = bytesFromNear.load(ordering: .relaxed)
    statistics.bytesFromFar = bytesFromFar.load(ordering: .relaxed)
    statistics.open = open.load(ordering: .relaxed)
    statistics.total = total.load(ordering: .relaxed)
    statistics.failed = failed.load(ordering: .relaxed)
    statistics.broken = broken.load(ordering: .relaxed)
    return statistics
  }
}
