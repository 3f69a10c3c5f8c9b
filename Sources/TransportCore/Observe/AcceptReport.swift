internal import CoreMetrics
public import Logging

/// Logs, counts and tells of what does not become a connection. For listeners, also those outside
/// this package: whoever refuses a peer says so here.
public struct AcceptReport: Sendable {
  private let address: TransportAddress
  private let logger: Logger
  private let observer: (any ConnectionObserver)?
  private let metrics: TransportMetrics?

  /// - Parameter address: the one that is listened at.
  public init(
    address: TransportAddress, logger: Logger, observer: (any ConnectionObserver)? = nil
  ) {
    self.address = address
    self.logger = logger
    self.observer = observer
    self.metrics = .current(for: address, .accepted)
  }

  /// A policy refused a peer: ``AttemptFailure/refused(_:by:)``.
  public func refused(_ failure: AttemptFailure) {
    logger.warning("Refused a connection", metadata: metadata(failure.message, failure.peer))
    metrics?.refusals.increment()
    report?.tell(.refused(failure.peer ?? PeerIdentity(), reason: failure.message), level: nil)
  }

  /// accept(2) failed, for want of descriptors or memory.
  public func cannotAccept(_ error: any Error) {
    logger.error("Cannot accept for the moment", metadata: metadata("\(error)"))
    metrics?.acceptErrors.increment()
    report?.tell(.acceptFailed(reason: "\(error)"), level: nil)
  }

  /// A connection failed before it could be handed over.
  ///
  /// - Parameter level: lower where strangers bring it about, who try a port out, say.
  public func failed(_ error: any Error, level: Logger.Level = .error) {
    let peer = (error as? AttemptFailure)?.peer
    logger.log(
      level: level, "A connection failed before it began", metadata: metadata("\(error)", peer))
    report?.tell(.acceptFailed(reason: "\(error)"), level: nil)
  }

  private var report: ConnectionReport? {
    ConnectionReport(.accepted, address, logger: nil, observer: observer, metrics: nil)
  }

  private func metadata(_ reason: String, _ peer: PeerIdentity? = nil) -> Logger.Metadata {
    var metadata: Logger.Metadata = ["address": "\(address)", "reason": "\(reason)"]
    if let peer { metadata["peer"] = "\(peer)" }
    return metadata
  }
}
