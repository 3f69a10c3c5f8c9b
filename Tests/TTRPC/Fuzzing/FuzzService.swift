import NIOCore
import RPCCore
import Synchronization

@testable import TTRPC

/// Handlers of each kind, some of which wait until they are let go, and a count of what runs.
final class FuzzService: Sendable {
  struct Counts {
    var began = 0
    var ended = 0
    var streamsBegan = 0
    var streamsEnded = 0
    var mostUnary = 0
    var mostStreams = 0
  }

  private struct State {
    var counts = Counts()
    var isOpen = false
    var lastWait = 0
    var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
  }

  private let state = Mutex(State())

  static let names = ["E", "H", "X", "C", "S", "B", "D", "Z"]
  static let unary = 0..<3

  var counts: Counts { state.withLock { $0.counts } }

  func server(_ configuration: TTRPCServer.Configuration) -> TTRPCServer {
    var server = TTRPCServer(configuration: configuration)
    unary("E", &server) { payload in payload }
    unary("H", &server) { [self] payload in
      await wait()
      return payload
    }
    unary("X", &server) { _ in throw RPCError(code: .aborted, message: "no") }
    stream("C", .clientStreaming, &server) { stream in
      var count: UInt8 = 0
      while try await stream.next() != nil { count &+= 1 }
      return ByteBuffer(bytes: [count])
    }
    stream("S", .serverStreaming, &server) { stream in
      let request = try await stream.next()
      for _ in 0..<(request?.readableBytes ?? 0) {
        try await stream.send(ByteBuffer(repeating: 7, count: 100))
      }
      return nil
    }
    stream("B", .bidirectional, &server) { stream in
      while let message = try await stream.next() { try await stream.send(message) }
      return nil
    }
    // It never reads.
    stream("D", .bidirectional, &server) { [self] stream in
      await wait()
      try await stream.send(ByteBuffer())
      return nil
    }
    // It returns before its client has ended.
    stream("Z", .clientStreaming, &server) { stream in try await stream.next() }
    return server
  }

  private func unary(
    _ name: String, _ server: inout TTRPCServer,
    _ body: @escaping @Sendable (ByteBuffer) async throws -> ByteBuffer
  ) {
    server.register(RPCMethod(service: "f", name: name), execution: .eventLoop) {
      [self] (payload: ByteBuffer, _: RPCServerContext) -> ByteBuffer in
      count {
        $0.began += 1
        $0.mostUnary = max($0.mostUnary, $0.began - $0.ended)
      }
      defer { count { $0.ended += 1 } }
      return try await body(payload)
    }
  }

  private func stream(
    _ name: String, _ kind: RPCStreamKind, _ server: inout TTRPCServer,
    _ body: @escaping @Sendable (any RPCStream) async throws -> ByteBuffer?
  ) {
    server.register(RPCMethod(service: "f", name: name), kind: kind, execution: .eventLoop) {
      [self] stream, _ in
      count {
        $0.streamsBegan += 1
        $0.mostStreams = max($0.mostStreams, $0.streamsBegan - $0.streamsEnded)
      }
      defer { count { $0.streamsEnded += 1 } }
      return try await body(stream)
    }
  }

  private func count(_ change: (inout Counts) -> Void) { state.withLock { change(&$0.counts) } }

  /// Waits until it is let go or cancelled.
  private func wait() async {
    let id = state.withLock { state in
      state.lastWait += 1
      return state.lastWait
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let mayGo = state.withLock { state in
          if state.isOpen || Task.isCancelled { return true }
          state.waiting[id] = continuation
          return false
        }
        if mayGo { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
    }
  }

  /// Lets the one go that waits longest.
  func letOneGo() {
    state.withLock { state in
      state.waiting.keys.min().flatMap { state.waiting.removeValue(forKey: $0) }
    }?.resume()
  }

  /// Lets all go, those too that come later.
  func open() {
    let all = state.withLock { state in
      state.isOpen = true
      defer { state.waiting = [:] }
      return state.waiting.values.map { $0 }
    }
    for one in all { one.resume() }
  }
}
