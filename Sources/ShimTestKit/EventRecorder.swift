internal import ContainerdAPI
internal import RPCCore
internal import ShimKit
public import SwiftProtobuf
internal import Synchronization
internal import TTRPC
internal import TransportCore
internal import UnixTransport

/// The daemon's events service on a socket of its own: keeps what shims send, in the order of its
/// arrival.
///
/// A daemon that is away is a recorder that is stopped; one that comes back is another recorder at the
/// same path.
public final class EventRecorder: Sendable {
  /// What a shim sent.
  public struct Event: Sendable {
    public var namespace: String
    /// Such as `/tasks/exit`.
    public var topic: String
    public var time: Google_Protobuf_Timestamp
    public var message: Google_Protobuf_Any

    /// The message as one of the type; nil when it is another one, or cannot be decoded.
    public func unpacked<Message: SwiftProtobuf.Message>(
      _ type: Message.Type = Message.self
    ) -> Message? {
      guard let name = message.typeURL.split(separator: "/").last,
        name == type.protoMessageName
      else { return nil }
      return try? Message(serializedBytes: message.value)
    }
  }

  private struct State {
    var events: [Event] = []
    var waiters: [UInt64: Waiter] = [:]
    var lastWaiter: UInt64 = 0
  }

  private struct Waiter {
    let isEnough: @Sendable ([Event]) -> Bool
    let awaited: Awaited<[Event]>
  }

  /// What `TTRPC_ADDRESS` is to be: the socket's bare path, as daemons give it.
  public let path: String
  private let state = Mutex(State())
  private let control = RPCServerControl()
  private let running = Mutex<Task<Void, Never>?>(nil)

  /// Listens.
  ///
  /// - Parameter path: of the socket. One that nobody serves is replaced.
  /// - Throws: `system`.
  public init(at path: String) throws(ShimTestKitError) {
    self.path = path
    let listener: UnixListener
    do {
      listener = try UnixListener(
        bindingTo: TransportAddress(place: .unix(path: path)), options: .init(replacing: true))
    } catch {
      throw ShimTestKitError(
        code: .system, message: "cannot take events at \(path)", cause: error)
    }
    var server = TTRPCServer()
    Service { [weak self] event in self?.add(event) }.register(on: &server)
    let task = Task<Void, Never> { [control, server] in
      // The listener is in order: it ends when the control says so.
      _ = try? await server.run(on: listener, control: control)
    }
    running.withLock { $0 = task }
  }

  /// What has arrived so far.
  public var events: [Event] { state.withLock { $0.events } }

  /// `/tasks/create`, `/tasks/start` and so on, in the order of arrival.
  public var topics: [String] { events.map(\.topic) }

  /// Waits until there are events enough.
  ///
  /// - Returns: all that have arrived by then.
  /// - Throws: `timedOut`, with the topics of what has arrived.
  public func wait(
    within limit: Duration = .seconds(60), until isEnough: @escaping @Sendable ([Event]) -> Bool
  ) async throws(ShimTestKitError) -> [Event] {
    let awaited = Awaited<[Event]>()
    let key = state.withLock { state in
      if isEnough(state.events) { awaited.set(state.events) }
      state.lastWaiter += 1
      state.waiters[state.lastWaiter] = Waiter(isEnough: isEnough, awaited: awaited)
      return state.lastWaiter
    }
    defer { state.withLock { $0.waiters[key] = nil } }
    guard case .success(let events) = await withLimit(limit, { try await awaited.get() }) else {
      throw ShimTestKitError(
        code: .timedOut,
        message: "the events that were waited for did not come within \(limit); there are "
          + "\(topics.joined(separator: " "))")
    }
    return events
  }

  /// Stops listening. What has arrived stays.
  public func stop() async {
    control.close()
    let task = running.withLock { task in
      defer { task = nil }
      return task
    }
    await task?.value
  }

  deinit { control.close() }

  private func add(_ event: Event) {
    let ready = state.withLock { state in
      state.events.append(event)
      let ready = state.waiters.values.filter { $0.isEnough(state.events) }
      return ready.map { ($0.awaited, state.events) }
    }
    for (awaited, events) in ready { awaited.set(events) }
  }

  private struct Service: Containerd_Services_Events_Ttrpc_V1_EventsService {
    let receive: @Sendable (Event) -> Void

    nonisolated(nonsending) func forward(
      _ request: Containerd_Services_Events_Ttrpc_V1_ForwardRequest, context: RPCServerContext
    ) async throws -> Google_Protobuf_Empty {
      let envelope = request.envelope
      receive(
        Event(
          namespace: envelope.namespace, topic: envelope.topic, time: envelope.timestamp,
          message: envelope.event))
      return Google_Protobuf_Empty()
    }
  }
}
