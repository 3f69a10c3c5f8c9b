internal import ContainerdAPI
internal import Glibc
public import Logging
internal import NIOCore
internal import RPCCore
public import SwiftProtobuf
internal import Synchronization
internal import TTRPC
public import TransportCore
internal import UnixTransport

/// Sends a shim's events to the daemon's `containerd.services.events.ttrpc.v1.Events`, at the
/// address that `TTRPC_ADDRESS` gives.
///
/// Events arrive in the order of ``publish(_:topic:)``, one after the other, each *at least once*:
/// one whose try was cut short, by the daemon's death or by the limit of a try, may have been
/// received and is sent again. While the daemon is away they are kept and tried again, for as long
/// as that takes; what is over ``Configuration/mostEvents`` or ``Configuration/mostBytes`` is
/// dropped, counted and logged: first what a later event supersedes, exits and deletions last.
/// An event that the daemon itself refuses is dropped, too: at once as an invalid argument, else
/// after 20 refusals.
///
/// It works until it is closed, whoever holds it.
public final class EventPublisher: Sendable {
  public struct Configuration: Sendable {
    /// How many events may wait.
    public var mostEvents: Int
    /// How many bytes they may take together.
    public var mostBytes: Int
    /// How long one try may take, connecting included.
    public var tryLimit: Duration
    /// The pauses between tries: doubled from the first to the longest.
    public var firstPause: Duration
    public var longestPause: Duration
    /// Told of what is dropped, and of a daemon that is away and back.
    public var logger: Logger

    public init(
      mostEvents: Int = 65_536, mostBytes: Int = 16 << 20, tryLimit: Duration = .seconds(5),
      firstPause: Duration = .milliseconds(100), longestPause: Duration = .seconds(5),
      logger: Logger = Logger(label: "hawsepipe.events")
    ) {
      self.mostEvents = mostEvents
      self.mostBytes = mostBytes
      self.tryLimit = tryLimit
      self.firstPause = firstPause
      self.longestPause = longestPause
      self.logger = logger
    }
  }

  private struct State {
    var queue: EventQueue
    var dropped: UInt64 = 0
    /// Of `dropped`, what has not been logged.
    var unreported: UInt64 = 0
    var sleeper: CheckedContinuation<Void, Never>?
    var drains: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var lastDrain: UInt64 = 0
    var isClosed = false
    var worker: Task<Void, Never>?
  }

  public let namespace: String
  private let configuration: Configuration
  private let client: TTRPCRedialingClient
  private let state: Mutex<State>

  /// - Parameters:
  ///   - address: a unix socket's, as a rule.
  ///   - namespace: containerd's namespace of all events.
  ///   - connectors: `nil`: for unix sockets alone.
  public init(
    to address: TransportAddress, namespace: String,
    using connectors: TransportRegistry? = nil,
    configuration: Configuration = Configuration()
  ) {
    self.namespace = namespace
    self.configuration = configuration
    // The pauses are this side's own; the client must not add others.
    client = TTRPCRedialingClient(
      to: address, using: connectors ?? TransportRegistry([UnixConnector()]),
      options: ConnectOptions(timeout: configuration.tryLimit, tryLimit: configuration.tryLimit),
      configuration: .init(
        backoff: .init(first: .milliseconds(1), most: .milliseconds(1))))
    state = Mutex(
      State(
        queue: EventQueue(
          limits: .init(count: configuration.mostEvents, bytes: configuration.mostBytes))))
    // On the connection's loop: an event goes out and its answer comes back without another thread.
    let worker = Task(executorPreference: client.executor) { await self.run() }
    state.withLock { $0.worker = worker }
  }

  /// How many events have been dropped so far.
  public var dropped: UInt64 { state.withLock { $0.dropped } }

  /// How many events wait, with the one that is being sent.
  public var waiting: Int { state.withLock { $0.queue.count } }

  /// Puts an event behind the others, with the time of now, and returns at once.
  ///
  /// - Parameter topic: such as `EventTopic.taskExit`.
  public func publish(_ event: some Message, topic: String) {
    do {
      publish(try TypeURL.pack(event), topic: topic)
    } catch {
      drop(1, "an event cannot be encoded", ["topic": "\(topic)", "error": "\(error)"])
    }
  }

  /// Puts an event that is packed already behind the others, and returns at once.
  public func publish(_ event: Google_Protobuf_Any, topic: String) {
    var request = Containerd_Services_Events_Ttrpc_V1_ForwardRequest()
    request.envelope.timestamp = .now
    request.envelope.namespace = namespace
    request.envelope.topic = topic
    request.envelope.event = event
    let payload: ByteBuffer
    do {
      payload = try request.encodedBuffer()
    } catch {
      drop(1, "an event cannot be encoded", ["topic": "\(topic)", "error": "\(error)"])
      return
    }
    let (victims, sleeper) = state.withLock { state -> (Int, CheckedContinuation<Void, Never>?) in
      guard !state.isClosed else { return (1, nil) }
      let victims = state.queue.append(.init(topic: topic, payload: payload)).count
      defer { state.sleeper = nil }
      return (victims, state.sleeper)
    }
    sleeper?.resume()
    if victims > 0 { drop(victims, "there is no room for all events", ["topic": "\(topic)"]) }
  }

  /// Waits until all events are delivered or given up, at most so long.
  ///
  /// - Returns: how many wait still.
  @discardableResult
  public func drain(within limit: Duration) async -> Int {
    let number = state.withLock { state in
      state.lastDrain += 1
      return state.lastDrain
    }
    let alarm = Task { [weak self] in
      // Cancelled when all were delivered before.
      guard (try? await Task.sleep(for: limit)) != nil else { return }
      self?.endDrain(number)
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.queue.isEmpty || state.isClosed || Task.isCancelled { return true }
          state.drains[number] = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      endDrain(number)
    }
    alarm.cancel()
    return waiting
  }

  /// Stops sending and closes the connection. What waits is lost; what is published later, too.
  public func close() async {
    let (worker, sleeper, drains) = state.withLock { state in
      state.isClosed = true
      let ended = (state.worker, state.sleeper, state.drains)
      state.sleeper = nil
      state.drains = [:]
      return ended
    }
    worker?.cancel()
    sleeper?.resume()
    for drain in drains.values { drain.resume() }
    await worker?.value
  }

  // MARK: The worker

  private func run() async {
    while let entry = await next(), await deliver(entry) {}
    await client.close()
  }

  /// The oldest event, when there is one. Nil once the publisher is closed.
  private func next() async -> EventQueue.Entry? {
    while true {
      let (entry, isClosed) = state.withLock { state in
        state.isClosed ? (nil, true) : (state.queue.take(), false)
      }
      if entry != nil || isClosed { return entry }
      await withCheckedContinuation { continuation in
        let isAwake = state.withLock { state in
          if state.isClosed || !state.queue.isEmpty { return true }
          state.sleeper = continuation
          return false
        }
        if isAwake { continuation.resume() }
      }
    }
  }

  /// False when the publisher was closed meanwhile.
  private func deliver(_ entry: EventQueue.Entry) async -> Bool {
    var machine = DeliveryStateMachine(
      backoff: .init(first: configuration.firstPause, most: configuration.longestPause))
    while true {
      let step: DeliveryStateMachine.Step
      do throws(RPCError) {
        var options = RPCCallOptions(timeout: configuration.tryLimit)
        options.metadata[RPCMetadata.namespaceKey] = namespace
        _ = try await client.call(
          Containerd_Services_Events_Ttrpc_V1_EventsMethods.forward, payload: entry.payload,
          options: options)
        if machine.isFailing { configuration.logger.info("the daemon takes events again") }
        step = machine.delivered()
      } catch {
        if Task.isCancelled { return false }
        let wasFailing = machine.isFailing
        step = machine.failed(error)
        switch step {
        case .tryAgain where !wasFailing:
          configuration.logger.warning(
            "the daemon does not take an event; it is tried again",
            metadata: ["topic": "\(entry.topic)", "error": "\(error)"])
        case .giveUp:
          drop(
            1, "the daemon refuses an event", ["topic": "\(entry.topic)", "error": "\(error)"])
        case .tryAgain, .next: break
        }
      }
      switch step {
      case .next, .giveUp:
        finish()
        return true
      case .tryAgain(let pause):
        do { try await Task.sleep(for: pause) } catch { return false }  // Closed.
      }
    }
  }

  private func finish() {
    let (drains, unreported) = state.withLock {
      state -> ([CheckedContinuation<Void, Never>], UInt64) in
      state.queue.finish()
      let unreported = state.unreported
      state.unreported = 0
      guard state.queue.isEmpty else { return ([], unreported) }
      defer { state.drains = [:] }
      return (Array(state.drains.values), unreported)
    }
    for drain in drains { drain.resume() }
    if unreported > 0 {
      configuration.logger.error("events were dropped", metadata: ["count": "\(unreported)"])
    }
  }

  private func endDrain(_ number: UInt64) {
    state.withLock { $0.drains.removeValue(forKey: number) }?.resume()
  }

  /// Counts what is dropped. The first of a row is logged with its reason, the others as a number
  /// when events flow again.
  private func drop(_ count: Int, _ reason: Logger.Message, _ metadata: Logger.Metadata) {
    let isFirst = state.withLock { state in
      let isFirst = state.unreported == 0
      state.dropped += UInt64(count)
      state.unreported += UInt64(count)
      return isFirst
    }
    if isFirst { configuration.logger.error(reason, metadata: metadata) }
  }
}

extension Google_Protobuf_Timestamp {
  fileprivate static var now: Google_Protobuf_Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Google_Protobuf_Timestamp(seconds: Int64(time.tv_sec), nanos: Int32(time.tv_nsec))
  }
}

extension RPCMetadata {
  /// Where containerd's `pkg/namespaces` puts the namespace in a ttrpc request.
  fileprivate static let namespaceKey = "containerd-namespace-ttrpc"
}
