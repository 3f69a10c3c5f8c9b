public import ContainerdAPI
public import RPCCore
public import SwiftProtobuf

/// `containerd.services.events.v1.Events` of a controller: what happens to its sandboxes and to the
/// tasks in them, as containerd's own service tells of its.
public struct EventsService: Sendable {
  private let events: EventExchange

  public init(_ events: EventExchange) { self.events = events }

  public func register(on registrar: inout some RPCRegistrar) {
    let service: some Containerd_Services_Events_V1_EventsService = self
    service.register(on: &registrar, execution: .pool)
  }

  private func answering(
    _ body: () throws(SandboxControlError) -> Void
  ) throws(RPCError) -> Google_Protobuf_Empty {
    do throws(SandboxControlError) { try body() } catch { throw error.rpcError }
    return Google_Protobuf_Empty()
  }
}

extension EventsService: Containerd_Services_Events_V1_EventsService {
  public nonisolated(nonsending) func publish(
    _ request: Containerd_Services_Events_V1_PublishRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    try answering { () throws(SandboxControlError) in
      let event = Containerd_Types_Envelope.with {
        $0.timestamp = .now
        $0.topic = request.topic
        $0.event = request.event
      }
      try events.accept(event, in: try ControllerService.namespace(of: context))
    }
  }

  public nonisolated(nonsending) func forward(
    _ request: Containerd_Services_Events_V1_ForwardRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    try answering { () throws(SandboxControlError) in try events.accept(request.envelope) }
  }

  public nonisolated(nonsending) func subscribe(
    _ request: Containerd_Services_Events_V1_SubscribeRequest,
    responses: RPCWriter<Containerd_Types_Envelope>, context: RPCServerContext
  ) async throws {
    do throws(SandboxControlError) {
      // Here, and not where events are published: who filters slowly keeps nobody else waiting.
      let filters = try EventFilter.parse(request.filters)
      let subscription = try events.subscribe()
      defer { events.unsubscribe(subscription) }
      while true {
        let event = try await subscription.next()
        guard filters.allow(event) else { continue }
        do { try await responses.send(event) } catch {
          throw SandboxControlError(
            code: .cancelled, message: "the subscriber has gone", cause: error)
        }
      }
    } catch {
      throw error.rpcError
    }
  }
}

extension EventExchange {
  /// Publishes what somebody else says has happened.
  ///
  /// - Parameter namespace: in place of its own.
  /// - Throws: `invalidRequest` for what containerd would not take either.
  public func accept(
    _ event: Containerd_Types_Envelope, in namespace: String? = nil
  ) throws(SandboxControlError) {
    var event = event
    if let namespace { event.namespace = namespace }
    try EventCheck.validate(event)
    publish(event)
  }
}
