import NIOCore
import RPCCore
public import TransportCore

extension TTRPCClient {
  /// Makes a client of a connection that is open already and that nobody else uses.
  public static func adopt(
    _ connection: Connection, configuration: Configuration = Configuration()
  ) async -> TTRPCClient {
    let channel = connection.channel
    let added = channel.eventLoop.submit {
      try install(
        on: channel, peerName: "\(connection.address)", budget: configuration.streams)
    }
    // It fails when the channel is closed already; `client(over:)` deals with that.
    _ = try? await added.get()
    return await client(over: connection, configuration: configuration)
  }

  /// Adds a client's handler to a channel. To be called on its event loop.
  static func install(
    on channel: any Channel, peerName: String, budget: TTRPCStreamBudget = TTRPCStreamBudget(),
    firstID: UInt32 = 1
  ) throws {
    try channel.pipeline.syncOperations.addHandler(
      ClientHandler(peerName: peerName, budget: budget, firstID: firstID))
  }

  /// Makes a client of a connection whose channel has the handler.
  static func client(
    over connection: Connection, configuration: Configuration
  ) async -> TTRPCClient {
    let channel = connection.channel
    return await withCheckedContinuation { continuation in
      channel.eventLoop.execute {
        let handler = installed(on: channel) ?? ended(connection)
        handler.onClose(configuration.onClose)
        continuation.resume(
          returning: TTRPCClient(
            connection: connection,
            handler: handler,
            executor: .shared(on: channel.eventLoop)))
      }
    }
  }

  /// The handler in the channel's pipeline; a channel that has closed has lost it.
  private static func installed(on channel: any Channel) -> ClientHandler? {
    // The one error is that there is none.
    try? channel.pipeline.syncOperations.handler(type: ClientHandler.self)
  }

  /// The handler of a client that has ended before it began.
  private static func ended(_ connection: Connection) -> ClientHandler {
    let handler = ClientHandler(peerName: "\(connection.address)")
    handler.terminate(
      RPCError(
        code: .unavailable,
        message: "\(connection.address) closed the connection as soon as it was made",
        reason: .connectionClosed))
    return handler
  }
}
