public import NIOCore
internal import Synchronization
public import TransportCore

/// Connects accepted connections, one by one, with a far side that is dialled for each.
///
/// A near connection is prepared where it is made (``prepare(_:)`` is its `configure`), so that not
/// a byte of it is read before there is somebody to have it, and then run. Both channels live on one
/// event loop: bytes change hands without changing threads.
///
/// An end of one side's output becomes an end of the other's input, after everything before it. Where
/// the other transport cannot say that (``Connection/carriesHalfClose``) nothing is said, and the
/// bridge goes on the other way until that side closes, or nothing moves for
/// ``RelayOptions/endLimit``: to close it at once would lose its answer. A failure of one side closes
/// the other, after what had arrived, as a failure where its transport knows the difference (TCP's
/// reset).
public struct Bridge: Sendable {
  public let options: RelayOptions
  let counters = RelayCounters()
  private let prepared = PreparedPairs()

  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/invalidConfiguration`` when an
  ///   option is none that a bridge can keep to.
  public init(options: RelayOptions = RelayOptions()) throws(TransportError) {
    try options.check()
    self.options = options
  }

  /// What all of its bridges counted; readable at any time.
  public var statistics: RelayStatistics { counters.statistics }

  /// Adds the near side's handler; on the channel's event loop, as the last one.
  public func prepare(_ channel: any Channel) throws {
    let pair = RelayPair(eventLoop: channel.eventLoop, options: options, counters: counters)
    let end = RelayEnd(pair, .near)
    pair.attachNear(end)
    try channel.pipeline.syncOperations.addHandler(end)
    prepared.add(pair, of: channel)
  }

  /// Dials the far side and passes bytes both ways until both sides are closed.
  ///
  /// Cancellation ends dialling at once, and closes both sides as failed.
  ///
  /// - Parameter near: a connection whose `configure` was ``prepare(_:)``.
  /// - Throws: ``TransportError``, as the connector's, when the far side could not be dialled. The
  ///   near side is closed then.
  public func run(
    _ near: Connection, to address: TransportAddress, registry: TransportRegistry
  ) async throws(TransportError) -> RelayEnding {
    let connector: any Connector
    do throws(TransportError) {
      connector = try registry.connector(for: address)
    } catch {
      near.channel.close(promise: nil)
      throw error
    }
    return try await run(near, to: address, through: connector)
  }

  func run(
    _ near: Connection, to address: TransportAddress, through connector: any Connector
  ) async throws(TransportError) -> RelayEnding {
    counters.total.wrappingAdd(1, ordering: .relaxed)
    counters.open.wrappingAdd(1, ordering: .relaxed)
    defer { counters.open.wrappingSubtract(1, ordering: .relaxed) }
    let loop = near.channel.eventLoop
    var connect = options.connect
    connect.group = loop
    let (options, counters) = (connect, self.counters)

    // Closed already, with nothing of it read.
    guard let pair = prepared.take(near.channel) else { return RelayEnding(isClean: false) }
    let dial = Task { () async -> Result<Connection, TransportError> in
      do throws(TransportError) {
        return .success(
          try await connector.connect(to: address, options: options) { channel in
            guard channel.eventLoop === loop else { throw WrongEventLoop(address: address) }
            let end = RelayEnd(pair.value, .far)
            pair.value.attachFar(end)
            try channel.pipeline.syncOperations.addHandler(end)
          })
      } catch {
        return .failure(error)
      }
    }
    loop.execute { pair.value.whenUnwanted { dial.cancel() } }
    let result = await withTaskCancellationHandler {
      await dial.value
    } onCancel: {
      dial.cancel()
    }
    switch result {
    case .success(let far):
      let ending = await begin(pair, near, far)
      if !ending.isClean { counters.broken.wrappingAdd(1, ordering: .relaxed) }
      return ending
    case .failure(let error):
      let wasUnwanted = await abandon(pair, loop)
      if !wasUnwanted && error.code != .cancelled {
        counters.failed.wrappingAdd(1, ordering: .relaxed)
      }
      throw error
    }
  }

  private func begin(
    _ pair: NIOLoopBound<RelayPair>, _ near: Connection, _ far: Connection
  ) async -> RelayEnding {
    let loop = near.channel.eventLoop
    do {
      let ending = loop.flatSubmit { () -> EventLoopFuture<RelayEnding> in
        pair.value.begin(
          nearCarriesHalfClose: near.carriesHalfClose, farCarriesHalfClose: far.carriesHalfClose)
        return pair.value.ending
      }
      return try await withTaskCancellationHandler {
        try await ending.get()
      } onCancel: {
        loop.execute { pair.value.cancel() }
      }
    } catch {
      near.channel.close(promise: nil)
      far.channel.close(promise: nil)
      return RelayEnding(isClean: false, cause: error)
    }
  }

  /// - Returns: whether the near side had gone first.
  private func abandon(_ pair: NIOLoopBound<RelayPair>, _ loop: any EventLoop) async -> Bool {
    do {
      return try await loop.flatSubmit {
        let wasUnwanted = pair.value.isUnwanted
        pair.value.abandon()
        return pair.value.ending.map { _ in wasUnwanted }
      }.get()
    } catch {
      // Only a loop that was shut down fails this, and with it all of its channels.
      return true
    }
  }
}

/// A connector that does not honour ``ConnectOptions/group``.
private struct WrongEventLoop: Error, CustomStringConvertible {
  var address: TransportAddress
  var description: String {
    "the connector of \(address) made its channel on another event loop than it was given"
  }
}
