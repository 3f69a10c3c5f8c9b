import Glibc
import LinuxSystem
import NIOCore
import NIOPosix
import Testing
import TransportCore
import UnixTransport

/// A directory of a test's own, gone with it.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/hawsepipe-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure(what: "mkdtemp: \(errnoText(errno))") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path) }

  func address(_ name: String) -> TransportAddress {
    TransportAddress(place: .unix(path: path + "/" + name))
  }

  private static func remove(_ path: String) {
    // What cannot be listed cannot be removed either.
    let names = (try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names()) ?? []
    for name in names where unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
    rmdir(path)
  }
}

struct Failure: Error { var what: String }

func uniqueAbstract() -> TransportAddress {
  TransportAddress(place: .abstract(name: "hawsepipe-test-\(UInt64.random(in: 0...UInt64.max))"))
}

/// Waits for a condition that another thread or process brings about; an upper bound against hangs.
///
/// That a socket is closed is such a condition, too: a process that another test is just starting
/// holds on to it until its exec.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let clock = ContinuousClock()
  let end = clock.now + .seconds(30)
  while try await !condition() {
    guard clock.now < end else { throw Failure(what: "not in time: \(what)") }
    try await clock.sleep(for: .milliseconds(5))
  }
}

/// Sends back what it gets, after a greeting.
final class EchoHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let greeting: String

  init(greeting: String = "") { self.greeting = greeting }

  func channelActive(context: ChannelHandlerContext) {
    if !greeting.isEmpty {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: greeting)), promise: nil)
    }
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
  }
}

/// Everything that a connection brings, as a stream of texts.
final class Incoming: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let texts: AsyncStream<String>.Continuation

  init(_ texts: AsyncStream<String>.Continuation) { self.texts = texts }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    texts.yield(String(buffer: unwrapInboundIn(data)))
  }

  func channelInactive(context: ChannelHandlerContext) { texts.finish() }
}

/// A connection with its incoming bytes.
struct TextConnection: Sendable {
  let connection: Connection
  private let texts: AsyncStream<String>
  private var rest = ""

  static func connect(
    to address: TransportAddress, _ options: ConnectOptions = .patient()
  ) async throws -> TextConnection {
    let (stream, continuation) = AsyncStream<String>.makeStream()
    let connection = try await UnixConnector().connect(to: address, options: options) { channel in
      try channel.pipeline.syncOperations.addHandler(Incoming(continuation))
    }
    return TextConnection(connection: connection, texts: stream)
  }

  private init(connection: Connection, texts: AsyncStream<String>) {
    self.connection = connection
    self.texts = texts
  }

  func send(_ text: String) async throws {
    try await connection.channel.writeAndFlush(ByteBuffer(string: text))
  }

  /// The next `count` characters, or fewer at the end.
  mutating func read(_ count: Int) async -> String {
    var iterator = texts.makeAsyncIterator()
    while rest.count < count, let text = await iterator.next() { rest += text }
    defer { rest = String(rest.dropFirst(count)) }
    return String(rest.prefix(count))
  }

  func close() async throws { try await connection.channel.close() }
}

/// Runs an echo server at a listener while `body` runs.
func withEchoServer<Result: Sendable>(
  _ listener: UnixListener, policy: PeerPolicy? = nil, greeting: String = "",
  _ body: @Sendable @escaping () async throws -> Result
) async throws -> Result {
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask {
      try await listener.run(policy: policy) { channel in
        try channel.pipeline.syncOperations.addHandler(EchoHandler(greeting: greeting))
      } onConnection: { connection in
        // However it ended, it ended.
        try? await connection.channel.closeFuture.get()
      }
    }
    let result = try await body()
    group.cancelAll()
    try await group.waitForAll()
    return result
  }
}

extension ConnectOptions {
  /// Limits that only a hang reaches, however busy the machine is.
  static func patient(
    tryLimit: Duration = .seconds(600), mode: Mode = .failFast, policy: PeerPolicy? = nil
  ) -> ConnectOptions {
    ConnectOptions(timeout: .seconds(600), tryLimit: tryLimit, mode: mode, policy: policy)
  }
}
