public import NIOCore
public import TransportCore
internal import UnixTransport

#if canImport(Glibc)
  internal import Glibc
#endif

/// Dials `named:///run/vm.sock:agent`: connects to the unix socket, sends the name as a line, and
/// waits for the line `yes`.
///
/// A connector makes one try. The deadline, the limit of a try, trying again and the list of tries in
/// the error are the package's, as long as the try ends when its task is cancelled.
public struct NamedConnector: Connector {
  public let transport = "named"

  public init() {}

  public func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    guard let place = NamedPlace(address) else {
      throw AttemptFailure(
        phase: .connect, errno: EINVAL, message: "\(address) is not an address of this transport",
        outlook: .fatal, hint: NamedPlace.syntax)
    }
    let results = ResultBox()
    // The unix connector applies the policy to the process that listens, before a byte is written.
    let connection = try await UnixConnector().attempt(place.socket, options: options) { channel in
      let gate = ConnectionGate()
      let result = channel.eventLoop.makePromise(of: Void.self)
      results.set(result.futureResult)
      try channel.pipeline.syncOperations.addHandlers([
        LineHandshakeHandler(
          opening: place.name + "\n", timeLimit: options.tryLimit, gate: gate, result: result,
          decide: { Self.meaning(of: $0, place.name) }),
        gate,
      ])
      // Behind the gate: the protocol's handlers see nothing until it opens.
      try configure(channel)
    }
    let clock = ContinuousClock()
    let began = clock.now
    try await agreement(results, connection.channel)
    return Connection(
      channel: connection.channel, address: address, peer: connection.peer,
      timings: connection.timings + [PhaseTiming(.handshake, clock.now - began)])
  }

  private static func meaning(
    of line: String, _ name: String
  ) -> LineHandshakeHandler.Decision {
    switch line {
    case "yes": .begin(reply: "")
    case "no":
      .fail(
        AttemptFailure(
          phase: .handshake, errno: ECONNREFUSED, message: "nobody serves the name \"\(name)\"",
          outlook: .notReady, hint: "check the name, or wait until its service has started"),
        reply: "")
    default:
      .fail(
        AttemptFailure(
          phase: .handshake, message: "the peer speaks another protocol", outlook: .fatal,
          hint: "check the socket's path"),
        reply: "")
    }
  }

  private func agreement(
    _ results: ResultBox, _ channel: any Channel
  ) async throws(AttemptFailure) {
    do {
      try await withTaskCancellationHandler {
        try await results.get()
      } onCancel: {
        // Ends the handshake, too, and with it the wait.
        channel.close(promise: nil)
      }
      if !Task.isCancelled { return }
    } catch {
      if !Task.isCancelled {
        throw error as? AttemptFailure
          ?? AttemptFailure(
            phase: .handshake, message: "\(error)", outlook: .fatal, cause: error)
      }
    }
    // Nobody gets this connection, so nobody else closes it.
    channel.close(promise: nil)
    throw .cancelled(during: .handshake)
  }
}
