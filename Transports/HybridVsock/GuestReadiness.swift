public import NIOCore
internal import Synchronization
public import TransportCore

/// Waits for a guest to say that it is ready, by dialling its host.
///
/// Bind first, start the VM, then wait:
///
/// ```swift
/// let readiness = try await GuestReadiness(at: address)
/// try startVM()
/// let connection = try await readiness.connection { channel in … }
/// ```
///
/// This needs no dialling into a VM that is not up, and no guess how long a boot takes.
public final class GuestReadiness: Sendable {
  public let address: TransportAddress
  private let listener: any Listener

  /// Binds and listens: from here on the guest may dial.
  ///
  /// - Parameter address: a hybrid vsock address whose port is the one that the guest dials on its
  ///   host.
  /// - Throws: ``TransportError`` with `listenFailed`.
  public init(
    at address: TransportAddress, factory: HybridVsockListenerFactory = .init(),
    options: ListenOptions = ListenOptions()
  ) async throws(TransportError) {
    self.address = address
    self.listener = try await factory.listen(at: address, options: options)
  }

  /// Stops listening. A connection that was handed out goes on.
  public func close() { listener.close() }

  deinit { listener.close() }

  /// The first connection whose peer the policy allows; the guest's others are closed. It is the
  /// caller's, who closes it. Listening ends with it, or with the error. Once.
  ///
  /// - Parameters:
  ///   - limit: how long to wait. A boot without hardware virtualisation takes its time.
  ///   - policy: asked of the VMM. `nil`: the same user.
  ///   - configure: adds the protocol's handlers, on the channel's event loop, before a byte can have
  ///     been read.
  /// - Throws: ``TransportError`` with `timedOut`, `cancelled` or `listenFailed`.
  public func connection(
    within limit: Duration = .seconds(60), policy: PeerPolicy? = nil,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(TransportError) -> Connection {
    let (stream, arrivals) = AsyncStream<Connection>.makeStream(
      bufferingPolicy: .bufferingOldest(1))
    let accepting = Task { [listener] () -> TransportError? in
      defer { arrivals.finish() }
      do throws(TransportError) {
        try await listener.run(policy: policy, configure: configure) { connection in
          guard case .enqueued = arrivals.yield(connection) else { return }
          arrivals.finish()
          listener.close()
          await connection.untilClosed()
        }
        return nil
      } catch {
        return error
      }
    }
    if let connection = await first(of: stream, within: limit) { return connection }
    // Ends what came too late, and waits until nothing is left of it.
    accepting.cancel()
    let failure = await accepting.value
    guard !Task.isCancelled else {
      throw TransportError(
        code: .cancelled, message: "waiting for a guest at \(address) was cancelled")
    }
    throw failure ?? timedOut(limit)
  }

  private func first(
    of stream: AsyncStream<Connection>, within limit: Duration
  ) async -> Connection? {
    await withTaskGroup(of: Connection?.self) { group in
      group.addTask { await stream.first { _ in true } }
      group.addTask {
        // Cancelled when a connection is there: then there is nothing to time.
        try? await Task.sleep(for: min(limit, .seconds(1_000_000_000)))
        return nil
      }
      var connection: Connection?
      for await found in group {
        // Both may end at the same moment.
        connection = connection ?? found
        group.cancelAll()
      }
      return connection
    }
  }

  private func timedOut(_ limit: Duration) -> TransportError {
    let refused = listener.statistics.refused
    return TransportError(
      code: .timedOut,
      message: "no guest has dialled \(address) within \(limit)"
        + (refused == 0 ? "" : ", and \(refused) that did were refused by the policy"),
      hint: refused == 0
        ? "check that the guest has booted and dials this port of its host (CID 2)"
        : "the VMM runs as another user: allow that one")
  }
}

extension Connection {
  fileprivate func untilClosed() async {
    do {
      try await channel.closeFuture.get()
    } catch {
      // Closed with an error is closed, too.
    }
  }
}
