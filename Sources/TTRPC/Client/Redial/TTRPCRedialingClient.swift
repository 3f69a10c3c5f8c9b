public import NIOCore
import NIOPosix
public import RPCCore
import Synchronization
public import TransportCore

/// A ttrpc client that connects when it is first needed, and anew when its connection was lost.
///
/// Calls that are under way when the connection is lost fail, with reason `.connectionClosed`: they
/// may have been carried out. Later ones go to a new connection. Methods that ``RetryPolicy`` names
/// are made again instead. A stream that has been opened is never opened again.
///
/// One dial serves all calls that wait for it; a call waits no longer than its own timeout. After a
/// dial that failed, calls fail at once with its error for a pause that grows with each failure.
public final class TTRPCRedialingClient: RPCCaller, Sendable {
  /// Which calls are made again when their connection was lost.
  public struct RetryPolicy: Sendable {
    /// How often a call is made, the first time included.
    public var attempts: Int
    /// Whether making the call twice does no more than making it once.
    public var isIdempotent: @Sendable (RPCMethod) -> Bool

    public init(attempts: Int = 3, isIdempotent: @escaping @Sendable (RPCMethod) -> Bool) {
      self.attempts = attempts
      self.isIdempotent = isIdempotent
    }

    public static let never = RetryPolicy(attempts: 1) { _ in false }
  }

  public struct Configuration: Sendable {
    /// For each connection. Its `onClose` is called for each that ends.
    public var client: TTRPCClient.Configuration
    public var retry: RetryPolicy
    /// How long no dial is begun after one that failed.
    public var backoff: ConnectOptions.Backoff

    public init(
      client: TTRPCClient.Configuration = .init(), retry: RetryPolicy = .never,
      backoff: ConnectOptions.Backoff = .init()
    ) {
      self.client = client
      self.retry = retry
      self.backoff = backoff
    }
  }

  private typealias Outcome = Result<TTRPCClient, RPCError>
  private typealias Machine = RedialStateMachine<TTRPCClient, CheckedContinuation<Outcome, Never>>

  private struct State {
    var machine: Machine
    var dial: Task<Void, Never>?
    var lastToken: Machine.Token = 0
  }

  public let address: TransportAddress
  private let connectors: TransportRegistry
  private let options: ConnectOptions
  private let configuration: Configuration
  private let state: Mutex<State>
  /// Runs tasks on the event loop that all connections share: calls from there cost least.
  public let executor: EventLoopTaskExecutor

  /// - Parameters:
  ///   - options: for each dial. Its group gives one event loop, which all connections use.
  public init(
    to address: TransportAddress, using connectors: TransportRegistry,
    options: ConnectOptions = ConnectOptions(), configuration: Configuration = Configuration()
  ) {
    self.address = address
    self.connectors = connectors
    self.configuration = configuration
    let loop = (options.group ?? MultiThreadedEventLoopGroup.singleton).next()
    var options = options
    options.group = loop
    self.options = options
    executor = .shared(on: loop)
    state = Mutex(State(machine: Machine(backoff: configuration.backoff)))
  }

  deinit { _ = shut() }

  /// Whether there is a connection now.
  public var isConnected: Bool { state.withLock { $0.machine.current?.isConnected ?? false } }

  /// Connects if there is no connection.
  ///
  /// - Throws: ``RPCError`` with the ``TransportError`` as its cause.
  public func connect() async throws(RPCError) { _ = try await client(by: nil) }

  public nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    try await attempt(method, options) { client, options async throws(RPCError) in
      try await client.call(method, payload: payload, options: options)
    }
  }

  public nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    try await attempt(method, options) { client, options async throws(RPCError) in
      try await client.open(method, kind: kind, request: request, options: options)
    }
  }

  /// Closes the connection; calls under way and to come fail. Closing again does nothing.
  public func close() async {
    let client = shut()
    await client?.close()
  }

  // MARK: Attempts

  private nonisolated(nonsending) func attempt<Value>(
    _ method: RPCMethod, _ options: RPCCallOptions,
    _ body: nonisolated(nonsending) (TTRPCClient, RPCCallOptions) async throws(RPCError) -> Value
  ) async throws(RPCError) -> Value {
    let deadline = options.timeout.map { ContinuousClock.now + $0 }
    var options = options
    var left = configuration.retry.isIdempotent(method) ? configuration.retry.attempts : 1
    while true {
      let client = try await client(by: deadline)
      if let deadline { options.timeout = max(.zero, deadline - ContinuousClock.now) }
      do throws(RPCError) {
        return try await body(client, options)
      } catch {
        left -= 1
        guard error.reason == .connectionClosed, left > 0 else { throw error }
      }
    }
  }

  /// The connection to use, dialled if there is none.
  private nonisolated(nonsending) func client(
    by deadline: ContinuousClock.Instant?
  ) async throws(RPCError) -> TTRPCClient {
    // The common case waits for nobody, and needs no continuation.
    if let client = state.withLock({ $0.machine.current }), client.isConnected { return client }
    let token = state.withLock { state in
      state.lastToken += 1
      return state.lastToken
    }
    let alarm = deadline.map { deadline in
      Task { [weak self] in
        // Cancelled when the answer came first.
        guard (try? await Task.sleep(until: deadline, clock: .continuous)) != nil else { return }
        self?.withdraw(token, .waitedTooLong)
      }
    }
    defer { alarm?.cancel() }
    let outcome = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        ask(token, continuation)
        // What came before there was anybody to wake.
        if Task.isCancelled { withdraw(token, .redialWithdrawn) }
        if let deadline, deadline <= .now { withdraw(token, .waitedTooLong) }
      }
    } onCancel: {
      withdraw(token, .redialWithdrawn)
    }
    return try outcome.get()
  }

  private func ask(_ token: Machine.Token, _ waiter: CheckedContinuation<Outcome, Never>) {
    let answer = state.withLock { state in
      let answer = state.machine.ask(token, waiter, now: .now, isAlive: \.isConnected)
      if case .dial = answer { state.dial = Task { [weak self] in await self?.dial() } }
      return answer
    }
    switch answer {
    case .use(let client): waiter.resume(returning: .success(client))
    case .fail(let error): waiter.resume(returning: .failure(error))
    case .dial, .wait: break
    }
  }

  private func withdraw(_ token: Machine.Token, _ error: RPCError) {
    let waiter = state.withLock { $0.machine.withdraw(token) }
    waiter?.resume(returning: .failure(error))
  }

  private func dial() async {
    let outcome: Outcome
    do throws(TransportError) {
      outcome = .success(
        try await TTRPCClient.connect(
          to: address, using: connectors, options: options, configuration: configuration.client))
    } catch {
      outcome = .failure(
        RPCError(
          code: .unavailable, message: "no connection to \(address)", reason: .connectionClosed,
          cause: error))
    }
    let waiters = state.withLock { state in
      state.dial = nil
      return state.machine.dialled(outcome, now: .now, random: .random(in: 0...1))
    }
    for waiter in waiters { waiter.resume(returning: outcome) }
  }

  private func shut() -> TTRPCClient? {
    let error = RPCError(
      code: .unavailable, message: "the client of \(address) was closed by this side",
      reason: .connectionClosed)
    let (ended, dial) = state.withLock { state in (state.machine.close(error), state.dial) }
    dial?.cancel()
    for waiter in ended?.1 ?? [] { waiter.resume(returning: .failure(error)) }
    return ended?.0
  }
}

extension RPCError {
  fileprivate static var waitedTooLong: RPCError {
    RPCError(
      code: .deadlineExceeded, message: "no connection within the call's timeout",
      reason: .deadline)
  }
}
