import NIOCore
import RPCCore
import RPCLoopback
import SwiftProtobuf
import Synchronization
import Testing

private typealias Text = Google_Protobuf_StringValue

/// The shape of a call, and what goes through it: `["a", "b"]` where many messages go.
private enum Shape: String, CaseIterable {
  case unary, clientStreaming, serverStreaming, bidirectional

  var method: RPCMethod { RPCMethod(service: "t.S", name: rawValue) }

  static func register(on registrar: inout some RPCRegistrar) {
    registrar.register(unary.method) { (text: Text, _) in try check(text) }
    registrar.registerClientStreaming(clientStreaming.method) {
      (texts: RPCReader<Text>, _) -> Text in
      var all = ""
      for try await text in texts { all += try check(text).value }
      return Text(all)
    }
    registrar.registerServerStreaming(serverStreaming.method) {
      (text: Text, replies: RPCWriter<Text>, _) in
      for letter in try check(text).value { try await replies.send(Text("\(letter)")) }
    }
    registrar.registerBidirectional(bidirectional.method) {
      (texts: RPCReader<Text>, replies: RPCWriter<Text>, _) in
      for try await text in texts { try await replies.send(try check(text)) }
    }
  }

  private static func check(_ text: Text) throws -> Text {
    if text.value == "!" { throw RPCError(code: .notFound, message: "nope") }
    return text
  }

  func call(_ caller: some RPCCaller, _ text: String = "ab") async throws(RPCError) -> String {
    let options = RPCCallOptions()
    switch self {
    case .unary:
      return try await caller.unary(method, Text(text), returning: Text.self, options: options)
        .value
    case .clientStreaming:
      let call = try await caller.clientStreaming(
        method, sending: Text.self, returning: Text.self, options: options)
      for letter in text { try await call.send(Text("\(letter)")) }
      return try await call.response().value
    case .serverStreaming:
      var all = ""
      let replies = try await caller.serverStreaming(
        method, Text(text), returning: Text.self, options: options)
      while let reply = try await replies.next() { all += reply.value }
      return all
    case .bidirectional:
      let call = try await caller.bidirectional(
        method, sending: Text.self, returning: Text.self, options: options)
      for letter in text { try await call.send(Text("\(letter)")) }
      try await call.finishSending()
      var all = ""
      while let reply = try await call.responses.next() { all += reply.value }
      return all
    }
  }
}

/// Notes its name on the way in and on the way out.
private struct Marker: RPCClientInterceptor, RPCServerInterceptor {
  let name: String
  let log: Log

  func unary(
    _ call: RPCClientCall, _ request: ByteBuffer,
    next: nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) -> ByteBuffer
  ) async throws(RPCError) -> ByteBuffer {
    log.add("\(name) in")
    let response = try await next(call, request)
    log.add("\(name) out")
    return response
  }

  func stream(
    _ call: RPCClientCall, _ request: ByteBuffer?,
    next:
      nonisolated(nonsending) (RPCClientCall, ByteBuffer?) async throws(RPCError) ->
      any RPCStream
  ) async throws(RPCError) -> any RPCStream {
    log.add("\(name) in")
    let stream = try await next(call, request)
    log.add("\(name) out")
    return stream
  }

  func unary(
    _ request: ByteBuffer, _ context: RPCServerContext,
    next: nonisolated(nonsending) (ByteBuffer, RPCServerContext) async throws -> ByteBuffer
  ) async throws -> ByteBuffer {
    log.add("\(name) in")
    let response = try await next(request, context)
    log.add("\(name) out")
    return response
  }

  func stream(
    _ stream: any RPCStream, _ context: RPCServerContext,
    next: nonisolated(nonsending) (any RPCStream, RPCServerContext) async throws -> ByteBuffer?
  ) async throws -> ByteBuffer? {
    log.add("\(name) in")
    let response = try await next(stream, context)
    log.add("\(name) out")
    return response
  }
}

private final class Log: Sendable {
  private let entries = Mutex<[String]>([])
  func add(_ entry: String) { entries.withLock { $0.append(entry) } }
  var all: [String] { entries.withLock { $0 } }
}

@Suite struct InterceptorTests {
  @Test("No interceptors change nothing", arguments: Shape.allCases)
  fileprivate func none(_ shape: Shape) async throws {
    var server = Loopback()
    server.intercept(with: []) { Shape.register(on: &$0) }
    #expect(try await shape.call(server.intercepted(by: [])) == "ab")
  }

  @Test(
    "TestChainUnaryClientInterceptor: five interceptors run in their order",
    arguments: Shape.allCases)
  fileprivate func clientChain(_ shape: Shape) async throws {
    let log = Log()
    var server = Loopback()
    Shape.register(on: &server)
    let caller = server.intercepted(by: (1...5).map { Marker(name: "\($0)", log: log) })
    #expect(try await shape.call(caller) == "ab")
    #expect(log.all == (1...5).map { "\($0) in" } + (1...5).reversed().map { "\($0) out" })
  }

  @Test(
    "TestChainUnaryServerInterceptor: single ones and chains combine, in their order",
    arguments: Shape.allCases)
  fileprivate func serverChain(_ shape: Shape) async throws {
    let log = Log()
    var server = Loopback()
    server.intercept(with: [Marker(name: "1", log: log)]) { server in
      server.intercept(with: (2...5).map { Marker(name: "\($0)", log: log) }) {
        Shape.register(on: &$0)
      }
    }
    #expect(try await shape.call(server) == "ab")
    #expect(log.all.prefix(5) == (1...5).map { "\($0) in" }[...])
    #expect(Set(log.all.dropFirst(5)) == Set((1...5).map { "\($0) out" }))
  }

  @Test("An interceptor may answer without the server, and change what is sent")
  func answers() async throws {
    struct Answering: RPCClientInterceptor {
      func unary(
        _ call: RPCClientCall, _ request: ByteBuffer,
        next:
          nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) ->
          ByteBuffer
      ) async throws(RPCError) -> ByteBuffer { request }
    }
    struct Adding: RPCClientInterceptor {
      func unary(
        _ call: RPCClientCall, _ request: ByteBuffer,
        next:
          nonisolated(nonsending) (RPCClientCall, ByteBuffer) async throws(RPCError) ->
          ByteBuffer
      ) async throws(RPCError) -> ByteBuffer {
        var call = call
        call.options.metadata["added"] = "yes"
        call.options.timeout = .seconds(9)
        return try await next(call, request)
      }
    }
    let method = RPCMethod(service: "t.S", name: "M")
    var server = Loopback()
    server.register(method) { (_: Text, context) in
      Text("\(context.metadata["added"] ?? "no") \(context.timeout ?? .zero)")
    }
    func ask(_ interceptor: any RPCClientInterceptor) async throws(RPCError) -> String {
      let caller = server.intercepted(by: [interceptor])
      let answer = try await caller.unary(
        method, Text("own"), returning: Text.self, options: RPCCallOptions())
      return answer.value
    }
    #expect(try await ask(Answering()) == "own")
    #expect(try await ask(Adding()) == "yes 9.0 seconds")
  }

  @Test("An interceptor may refuse a call before its message is decoded", arguments: Shape.allCases)
  fileprivate func refuses(_ shape: Shape) async throws {
    struct Refusing: RPCServerInterceptor {
      static let error = RPCError(code: .permissionDenied, message: "not you")
      func unary(
        _ request: ByteBuffer, _ context: RPCServerContext,
        next: nonisolated(nonsending) (ByteBuffer, RPCServerContext) async throws -> ByteBuffer
      ) async throws -> ByteBuffer { throw Self.error }
      func stream(
        _ stream: any RPCStream, _ context: RPCServerContext,
        next: nonisolated(nonsending) (any RPCStream, RPCServerContext) async throws -> ByteBuffer?
      ) async throws -> ByteBuffer? { throw Self.error }
    }
    var server = Loopback()
    server.intercept(with: [Refusing()]) { Shape.register(on: &$0) }
    let error = await #expect(throws: RPCError.self) { _ = try await shape.call(server) }
    #expect(error?.code == .permissionDenied)
  }

  @Test("An observer is told once of each call's end, on both sides", arguments: Shape.allCases)
  fileprivate func observed(_ shape: Shape) async throws {
    final class Observer: RPCObservingInterceptor {
      let records = Mutex<[RPCCallRecord]>([])
      func ended(_ record: RPCCallRecord) { records.withLock { $0.append(record) } }
      func take() -> RPCCallRecord? { records.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    }
    let (near, far) = (Observer(), Observer())
    var server = Loopback()
    server.intercept(with: [far]) { Shape.register(on: &$0) }
    let caller = server.intercepted(by: [near])

    #expect(try await shape.call(caller) == "ab")
    let many = (
      up: shape == .clientStreaming || shape == .bidirectional ? 2 : 1,
      down: shape == .serverStreaming || shape == .bidirectional ? 2 : 1
    )
    let sent = try #require(near.take())
    #expect(sent.side == .client && sent.method == shape.method && sent.code == .ok)
    #expect(sent.sent == many.up && sent.received == many.down)
    let served = try #require(far.take())
    #expect(served.side == .server && served.method == shape.method && served.error == nil)
    #expect(served.sent == many.down && served.received == many.up)

    await #expect(throws: RPCError.self) { _ = try await shape.call(caller, "!") }
    #expect(near.take()?.code == .notFound)
    #expect(far.take()?.code == .notFound)
    #expect(near.take() == nil && far.take() == nil)
  }
}
