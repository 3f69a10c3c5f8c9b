#if GRPC
  internal import NIOCore
  internal import Synchronization

  /// Ends a server that runs, and tells how busy it is.
  ///
  /// One control is for one server, which may run on many listeners with it. It is of use once: what
  /// it has ended does not begin again, and a run that begins afterwards returns at once.
  public final class GRPCServerControl: Sendable {
    private enum Phase { case serving, draining, closed }

    private struct State {
      var phase = Phase.serving
      var connections: [ObjectIdentifier: ServerLink] = [:]
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
        state.connections.values.reduce(0) { $0 + $1.calls.load(ordering: .relaxed) }
      }
    }

    /// Stops accepting and lets what is under way finish.
    ///
    /// Each connection's peer is told by GOAWAY to make no more calls on it; it is closed when the
    /// last has been answered. Returns when no connection is left. What still runs when the limit has
    /// passed, or when the calling task is cancelled, is ended as by ``close()``.
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
      for connection in stop(.closed) { connection.close() }
    }

    private func stop(_ phase: Phase) -> [ServerLink] {
      let (connections, listeners) = state.withLock { state in
        if state.phase != .closed { state.phase = phase }
        return (Array(state.connections.values), Array(state.listeners.values))
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
    func begin(_ close: @escaping @Sendable () -> Void) -> Int? {
      let run = state.withLock { state -> Int? in
        guard state.phase == .serving else { return nil }
        state.runs += 1
        state.listeners[state.runs] = close
        return state.runs
      }
      if run == nil { close() }
      return run
    }

    var hasEnded: Bool { state.withLock { $0.phase != .serving } }

    func end(_ run: Int) { state.withLock { $0.listeners[run] = nil } }

    enum Admission { case admitted, full, ended }

    /// Takes in a connection until its channel has closed.
    func admit(_ connection: ServerLink, limit: Int) -> Admission {
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

    private func remove(_ connection: ServerLink) {
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
  final class ServerLink: Sendable {
    let channel: any Channel
    /// How many calls are open.
    let calls = Atomic<Int>(0)

    init(_ channel: any Channel) { self.channel = channel }

    /// Says GOAWAY, and closes the connection behind its last call.
    func drain() {
      channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }

    func close() { channel.close(promise: nil) }
  }
#endif
