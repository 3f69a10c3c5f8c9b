internal import NIOCore
internal import TransportCore

/// What a check works with: the subject, and ways to listen, dial and wait.
struct ConformanceRun: Sendable {
  let subject: ConformanceSubject

  // MARK: Expecting

  func expect(_ condition: Bool, _ complaint: @autoclosure () -> String) throws {
    guard condition else { throw Broken(complaint()) }
  }

  /// Does something that ends within the limit, and says what it was when it does not or fails.
  func within<Value: Sendable>(
    _ what: String, _ operation: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    try await bounded(subject.patience, what, operation)
  }

  /// Waits until something holds.
  func eventually(_ what: String, _ condition: @escaping @Sendable () -> Bool) async throws {
    try await within(what) {
      while !condition() { try await Task.sleep(for: .milliseconds(5)) }
    }
  }

  // MARK: Listening

  /// Gives the body somebody to dial: a listener of its own with a server, or the one that runs.
  func withServer<Result: Sendable>(
    greets: Bool = false, _ body: (Server) async throws -> Result
  ) async throws -> Result {
    switch subject.peer {
    case .running(let address):
      return try await body(
        Server(run: self, own: nil) { try await address(greets) })
    case .listener:
      let own = try await listen(greets: greets)
      return try await own.whileRunning {
        try await body(Server(run: self, own: own) { own.dialled })
      }
    }
  }

  /// A listener, with a server that is to be run.
  ///
  /// - Parameter address: `nil` for a new one.
  func listen(
    at address: TransportAddress? = nil, greets: Bool = false
  ) async throws -> OwnListener {
    guard case .listener(let makeAddress) = subject.peer else {
      throw Broken("there is no listener: the check is wrong")
    }
    let subject = subject
    let listener = try await within("listening") {
      var place = address
      if place == nil { place = try await makeAddress() }
      guard let place else { throw Broken("there is no address") }
      return try await subject.registry.listen(at: place, options: subject.listenOptions)
    }
    return OwnListener(run: self, listener: listener, greets: greets)
  }

  // MARK: Dialling

  /// Connects, lets the body use the connection, and closes it.
  @discardableResult
  func withWire<Result: Sendable>(
    to address: TransportAddress, options: ConnectOptions? = nil, halfClose: Bool = false,
    _ body: @escaping @Sendable (Wire) async throws -> Result
  ) async throws -> Result {
    let wire = try await dial(address, options: options, halfClose: halfClose)
    do {
      let result = try await within("the exchange with \(address)") { try await body(wire) }
      try await within("the connection to be closed") { try await wire.close() }
      return result
    } catch {
      wire.channel.close(promise: nil)
      throw error
    }
  }

  func dial(
    _ address: TransportAddress, options: ConnectOptions? = nil, halfClose: Bool = false
  ) async throws -> Wire {
    let subject = subject
    return try await within("connecting to \(address)") {
      let connection = try await subject.registry.connect(
        to: address, options: options ?? subject.connectOptions
      ) { channel in try Wire.configure(channel, halfClose: halfClose) }
      return try Wire(connection)
    }
  }
}

/// Somebody to dial.
struct Server: Sendable {
  let run: ConformanceRun
  /// The listener, when it is in this process.
  let own: OwnListener?
  let address: @Sendable () async throws -> TransportAddress

  init(
    run: ConformanceRun, own: OwnListener?,
    address: @escaping @Sendable () async throws -> TransportAddress
  ) {
    self.run = run
    self.own = own
    self.address = address
  }

  /// Connects, lets the body use the connection, and closes it.
  @discardableResult
  func withWire<Result: Sendable>(
    halfClose: Bool = false, _ body: @escaping @Sendable (Wire) async throws -> Result
  ) async throws -> Result {
    try await run.withWire(to: try await address(), halfClose: halfClose, body)
  }
}

/// A listener of this process, and its server.
struct OwnListener: Sendable {
  let run: ConformanceRun
  let listener: any Listener
  let server: ConformanceServer

  init(run: ConformanceRun, listener: any Listener, greets: Bool = false) {
    self.run = run
    self.listener = listener
    self.server = ConformanceServer(
      greets: greets, halfClose: run.subject.halfClose.contains(.fromDialer),
      identifiesDialer: run.subject.identifiesDialer)
  }

  /// What to dial to get there.
  var dialled: TransportAddress { run.subject.dialled(listener.boundAddress) }

  /// Starts running the listener, until the task is cancelled.
  func start(policy: PeerPolicy? = nil) -> Task<Void, any Error> {
    let (listener, server) = (listener, server)
    let policy = policy ?? run.subject.listenPolicy
    return Task {
      try await listener.run(
        policy: policy, configure: server.configure, onConnection: server.serve)
    }
  }

  /// Runs the listener for as long as the body takes, and sees that cancellation ends it.
  func whileRunning<Result: Sendable>(
    policy: PeerPolicy? = nil, _ body: () async throws -> Result
  ) async throws -> Result {
    let running = start(policy: policy)
    do {
      let result = try await body()
      running.cancel()
      try await run.within("the cancelled listener to end") { try await running.value }
      return result
    } catch {
      running.cancel()
      listener.close()
      throw error
    }
  }
}
