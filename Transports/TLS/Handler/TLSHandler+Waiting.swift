internal import NIOCore
internal import TransportCore

/// What connectors and listeners do with a channel that has a ``TLSHandler`` and a
/// ``ConnectionGate`` behind it.
extension TLSHandler {
  /// Waits for the handshake's end; a cancellation closes the channel.
  static func outcome(on channel: any Channel) async throws(AttemptFailure) -> Outcome {
    let result = await withTaskCancellationHandler {
      await waitForOutcome(on: channel)
    } onCancel: {
      channel.close(promise: nil)
    }
    guard !Task.isCancelled else { throw .cancelled(during: .tls) }
    switch result {
    case .success(let outcome): return outcome
    case .failure(let error as TLSError): throw AttemptFailure(error)
    case .failure(let error):
      throw AttemptFailure(
        phase: .tls, message: "the connection ended before the TLS handshake did: \(error)",
        outlook: .notReady, cause: error)
    }
  }

  private static func waitForOutcome(on channel: any Channel) async -> Result<Outcome, any Error> {
    do {
      return .success(
        try await channel.eventLoop.flatSubmit {
          do {
            return try channel.pipeline.syncOperations.handler(type: TLSHandler.self).handshake
          } catch {
            // The pipeline is gone with its channel.
            return channel.eventLoop.makeFailedFuture(
              TLSError(.closedInHandshake, "the peer hung up before the TLS handshake"))
          }
        }.get())
    } catch {
      return .failure(error)
    }
  }

  /// Lets the protocol begin.
  static func open(_ channel: any Channel) async throws(AttemptFailure) {
    do {
      try await channel.eventLoop.submit {
        let pipeline = channel.pipeline.syncOperations
        try pipeline.handler(type: TLSHandler.self).engine.sendTicket()
        try pipeline.handler(type: TLSHandler.self).sendPending(pipeline)
        try pipeline.handler(type: ConnectionGate.self).open()
      }.get()
    } catch {
      throw AttemptFailure(
        phase: .tls, message: "the peer hung up right after the TLS handshake", outlook: .notReady,
        cause: error)
    }
  }

  private func sendPending(_ pipeline: ChannelPipeline.SynchronousOperations) throws {
    sendOutput(try pipeline.context(handler: self))
  }
}

extension Channel {
  /// Closes, and returns when the descriptor is gone.
  func closeAndWait() async {
    do {
      try await close().get()
    } catch {
      // It is closed already, or closing failed half way: its descriptor is gone either way.
    }
  }
}
