package import NIOCore
internal import Synchronization

/// Ends a server that runs, and tells how busy it is: one of ttrpc or of gRPC.
///
/// ```swift
/// let control = RPCServerControl()
/// async let running: Void = server.run(on: listener, control: control)
/// await control.shutDown(within: .seconds(5))
/// try await running
/// ```
///
/// One control is for one server, which may run on many listeners with it, or for several that are
/// to end together. It is of use once: what
/// it has ended does not begin again, and a run that begins afterwards returns at once.
public final class RPCServerControl: Sendable {
  private enum Phase { case serving, draining, closed }

  private struct State {
    var phase = Phase.serving
    var connections: [ObjectIdentifier: any ServedConnection] = [:]
    /// What closes the listeners, by the number of their run.
    var listeners: [Int: @Sendable () -> Void] = [:]
    var runs = 0
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Mutex(State())

  public init() {}

  /// How many connections there are now.
  public var connections: Int { state.withLock { $0.connections.count } }

  /// How many calls and streams wait for their answers now.
  public var calls: Int {
    state.withLock { state in
      state.connections.values.reduce(0) { $0 + $1.calls }
    }
  }

  /// Stops accepting and lets what is under way finish.
  ///
  /// Connections without a call are closed at once, the others when the answer of their last call
  /// has been taken by the network. A peer of ttrpc that calls meanwhile is answered Unavailable;
  /// one of gRPC has been told by GOAWAY to make no more calls.
  ///
  /// Returns when no connection is left. What still runs when the limit has passed, or when the
  /// calling task is cancelled, is ended as by ``close()``.
  ///
  /// - Parameter limit: how long calls may take to finish.
  public func shutDown(within limit: Duration) async {
    for connection in stop(.draining) { connection.drain() }
    let timer = Task {
      // It throws when it is cancelled: then everything has ended in time.
      try await Task.sleep(for: limit)
      close()
    }
    await withTaskCancellationHandler {
      await untilEmpty()
    } onCancel: {
      close()
    }
    timer.cancel()
  }

  /// Stops accepting and closes all connections at once. The handlers' tasks are cancelled.
  public func close() {
    for connection in stop(.closed) { connection.channel.close(promise: nil) }
  }

  private func stop(_ phase: Phase) -> [any ServedConnection] {
    let (connections, listeners) = state.withLock { state in
      if state.phase != .closed { state.phase = phase }
      return (Array(state.connections.values), state.listeners.values)
    }
    for close in listeners { close() }
    return connections
  }

  private func untilEmpty() async {
    await withCheckedContinuation { waiter in
      let isEmpty = state.withLock { state in
        if state.connections.isEmpty { return true }
        state.waiters.append(waiter)
        return false
      }
      if isEmpty { waiter.resume() }
    }
  }

  // MARK: For the server

  /// - Parameter close: closes the run's listener. It is called now if the server has been ended.
  /// - Returns: the run's number, or nil if there is nothing to run.
  package func begin(_ close: @escaping @Sendable () -> Void) -> Int? {
    let run = state.withLock { state -> Int? in
      guard state.phase == .serving else { return nil }
      state.runs += 1
      state.listeners[state.runs] = close
      return state.runs
    }
    if run == nil { close() }
    return run
  }

  package var hasEnded: Bool { state.withLock { $0.phase != .serving } }

  package func end(_ run: Int) { state.withLock { $0.listeners[run] = nil } }

  package enum Admission { case admitted, full, ended }

  /// Takes in a connection until its channel has closed.
  package func admit(_ connection: any ServedConnection, limit: Int) -> Admission {
    let admission = state.withLock { state -> Admission in
      guard state.phase == .serving else { return .ended }
      guard state.connections.count < limit else { return .full }
      state.connections[ObjectIdentifier(connection)] = connection
      return .admitted
    }
    guard admission == .admitted else { return admission }
    connection.channel.closeFuture.whenComplete { _ in self.remove(connection) }
    return admission
  }

  private func remove(_ connection: any ServedConnection) {
    let waiters = state.withLock { state in
      state.connections[ObjectIdentifier(connection)] = nil
      guard state.connections.isEmpty else { return [CheckedContinuation<Void, Never>]() }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}

/// A server's connection as its control sees it.
package protocol ServedConnection: AnyObject, Sendable {
  var channel: any Channel { get }
  /// How many calls and streams are open.
  var calls: Int { get }
  /// Lets what is under way finish, then closes the connection.
  func drain()
}
