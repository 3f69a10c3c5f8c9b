public import NIOCore

/// What became of a call.
public struct RPCCallRecord: Sendable {
  public enum Side: String, Sendable {
    case client, server
  }

  public let side: Side
  public let method: RPCMethod
  /// From the call's beginning to its end.
  public let duration: Duration
  /// nil for a call that succeeded.
  public let error: RPCError?
  /// How many messages this side sent.
  public let sent: Int
  public let received: Int

  public var code: RPCCode { error?.code ?? .ok }
}

/// An interceptor that changes nothing and is told of every call's end, on either side.
public protocol RPCObservingInterceptor: RPCClientInterceptor, RPCServerInterceptor {
  /// Called once a call, where the call ended: it must not block.
  func ended(_ record: RPCCallRecord)
}

extension RPCObservingInterceptor {
  public nonisolated(nonsending) func unary(
    _ call: RPCClientCall, _ request: ByteBuffer,
    next: nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) -> ByteBuffer
  ) async throws(RPCError) -> ByteBuffer {
    let began = ContinuousClock.now
    do throws(RPCError) {
      let response = try await next(call, request)
      ended(.client, call.method, since: began, nil, sent: 1, received: 1)
      return response
    } catch {
      ended(.client, call.method, since: began, error, sent: 1, received: 0)
      throw error
    }
  }

  public nonisolated(nonsending) func stream(
    _ call: RPCClientCall, _ request: ByteBuffer?,
    next:
      nonisolated(nonsending) (RPCClientCall, ByteBuffer?) async throws(RPCError) ->
      any RPCStream
  ) async throws(RPCError) -> any RPCStream {
    let began = ContinuousClock.now
    let first = request == nil ? 0 : 1
    do throws(RPCError) {
      return WatchedStream(try await next(call, request)) { error, sent, received in
        ended(.client, call.method, since: began, error, sent: sent + first, received: received)
      }
    } catch {
      ended(.client, call.method, since: began, error, sent: 0, received: 0)
      throw error
    }
  }

  public nonisolated(nonsending) func unary(
    _ request: ByteBuffer, _ context: RPCServerContext,
    next: nonisolated(nonsending) (ByteBuffer, RPCServerContext) async throws -> ByteBuffer
  ) async throws -> ByteBuffer {
    let began = ContinuousClock.now
    do {
      let response = try await next(request, context)
      ended(.server, context.method, since: began, nil, sent: 1, received: 1)
      return response
    } catch {
      ended(.server, context.method, since: began, RPCError(error), sent: 0, received: 1)
      throw error
    }
  }

  public nonisolated(nonsending) func stream(
    _ stream: any RPCStream, _ context: RPCServerContext,
    next: nonisolated(nonsending) (any RPCStream, RPCServerContext) async throws -> ByteBuffer?
  ) async throws -> ByteBuffer? {
    let began = ContinuousClock.now
    // A handler's return is the end, whatever its stream said before.
    let watched = WatchedStream(stream) { _, _, _ in }
    do {
      let response = try await next(watched, context)
      let (sent, received) = watched.counts
      ended(
        .server, context.method, since: began, nil, sent: sent + (response == nil ? 0 : 1),
        received: received)
      return response
    } catch {
      let (sent, received) = watched.counts
      ended(
        .server, context.method, since: began, RPCError(error), sent: sent, received: received)
      throw error
    }
  }

  private func ended(
    _ side: RPCCallRecord.Side, _ method: RPCMethod, since began: ContinuousClock.Instant,
    _ error: RPCError?, sent: Int, received: Int
  ) {
    ended(
      RPCCallRecord(
        side: side, method: method, duration: ContinuousClock.now - began, error: error,
        sent: sent, received: received))
  }
}
