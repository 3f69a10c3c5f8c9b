public import SwiftProtobuf

/// The messages of a stream as they come. It ends when the peer has sent its last and the call has
/// succeeded, and throws when the call fails.
public struct RPCReader<Element: Message>: AsyncSequence, Sendable {
  public typealias Failure = RPCError

  private let method: RPCMethod
  private let stream: any RPCStream

  public init(_ method: RPCMethod, _ stream: any RPCStream) {
    self.method = method
    self.stream = stream
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    fileprivate let reader: RPCReader

    public mutating func next() async throws(RPCError) -> Element? { try await reader.next() }

    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(RPCError) -> Element? { try await reader.next() }
  }

  public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(reader: self) }

  /// The next message, or nil at the end.
  ///
  /// - Throws: ``RPCError``: how the call failed. A message that is not an `Element` fails the call
  ///   on this side, with Internal and reason `.encoding`.
  public nonisolated(nonsending) func next() async throws(RPCError) -> Element? {
    guard let payload = try await stream.next() else { return nil }
    do throws(RPCError) {
      return try Element(answering: method, payload)
    } catch {
      stream.cancel()
      throw error
    }
  }

  /// Ends the call on this side without waiting for the rest.
  public func cancel() { stream.cancel() }
}

/// Where a handler or a caller puts a stream's messages.
public struct RPCWriter<Element: Message>: Sendable {
  private let method: RPCMethod
  private let stream: any RPCStream

  public init(_ method: RPCMethod, _ stream: any RPCStream) {
    self.method = method
    self.stream = stream
  }

  /// Sends a message; waits for room if the peer or the network is slow.
  ///
  /// - Throws: ``RPCError``, as ``RPCStream/send(_:)`` does.
  public nonisolated(nonsending) func send(_ message: Element) async throws(RPCError) {
    try await stream.send(try message.encoded(for: method))
  }
}

/// A call with many requests and one response.
public struct RPCClientStreamingCall<Request: Message, Response: Message>: Sendable {
  private let method: RPCMethod
  private let stream: any RPCStream

  public init(_ method: RPCMethod, _ stream: any RPCStream) {
    self.method = method
    self.stream = stream
  }

  /// Sends a message; waits for room if the peer or the network is slow.
  ///
  /// - Throws: ``RPCError``, as ``RPCStream/send(_:)`` does. A server may answer before it has read
  ///   everything: then sending fails and ``response()`` has the answer.
  public nonisolated(nonsending) func send(_ message: Request) async throws(RPCError) {
    try await stream.send(try message.encoded(for: method))
  }

  /// Says that all requests have been sent and waits for the response.
  public nonisolated(nonsending) func response() async throws(RPCError) -> Response {
    try await stream.finishSending()
    guard let payload = try await stream.next() else {
      throw RPCError(
        code: .internal, message: "\(method): the peer ended the call without a response",
        reason: .protocolViolation)
    }
    return try Response(answering: method, payload)
  }

  /// Ends the call on this side.
  public func cancel() { stream.cancel() }
}

/// A call with many requests and many responses.
public struct RPCBidirectionalCall<Request: Message, Response: Message>: Sendable {
  private let stream: any RPCStream
  private let writer: RPCWriter<Request>
  /// What the peer sends.
  public let responses: RPCReader<Response>

  public init(_ method: RPCMethod, _ stream: any RPCStream) {
    self.stream = stream
    writer = RPCWriter(method, stream)
    responses = RPCReader(method, stream)
  }

  /// Sends a message; waits for room if the peer or the network is slow.
  ///
  /// - Throws: ``RPCError``, as ``RPCStream/send(_:)`` does.
  public nonisolated(nonsending) func send(_ message: Request) async throws(RPCError) {
    try await writer.send(message)
  }

  /// Says that no request will follow; responses may still come.
  public nonisolated(nonsending) func finishSending() async throws(RPCError) {
    try await stream.finishSending()
  }

  /// Ends the call on this side.
  public func cancel() { stream.cancel() }
}

extension RPCCaller {
  /// Opens a call with many requests and one response.
  public nonisolated(nonsending) func clientStreaming<Request: Message, Response: Message>(
    _ method: RPCMethod, sending: Request.Type, returning: Response.Type, options: RPCCallOptions
  ) async throws(RPCError) -> RPCClientStreamingCall<Request, Response> {
    let stream = try await open(method, kind: .clientStreaming, request: nil, options: options)
    return RPCClientStreamingCall(method, stream)
  }

  /// Makes a call with one request and many responses.
  public nonisolated(nonsending) func serverStreaming<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning: Response.Type, options: RPCCallOptions
  ) async throws(RPCError) -> RPCReader<Response> {
    let payload = try request.encoded(for: method)
    let stream = try await open(method, kind: .serverStreaming, request: payload, options: options)
    return RPCReader(method, stream)
  }

  /// Opens a call with many requests and many responses.
  public nonisolated(nonsending) func bidirectional<Request: Message, Response: Message>(
    _ method: RPCMethod, sending: Request.Type, returning: Response.Type, options: RPCCallOptions
  ) async throws(RPCError) -> RPCBidirectionalCall<Request, Response> {
    let stream = try await open(method, kind: .bidirectional, request: nil, options: options)
    return RPCBidirectionalCall(method, stream)
  }
}
