import Glibc
import HybridVsockTransport
import LinuxSystem
import NIOCore
import Testing
import TransportCore

struct Failure: Error { var what: String }

/// A directory of a test's own, gone with it.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/hawsepipe-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure(what: "mkdtemp: \(errnoText(errno))") }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path) }

  /// Where a VMM of the test's listens.
  var socket: String { path + "/vm.sock" }

  func address(_ port: UInt32 = 1024, vmm: String? = nil) -> TransportAddress {
    TransportAddress(
      place: .hybridVsock(path: socket, port: port),
      parameters: vmm.map { [.init("vmm", $0)] } ?? [])
  }

  private static func remove(_ path: String) {
    // What cannot be listed cannot be removed either.
    let names = (try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names()) ?? []
    for name in names where unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
    rmdir(path)
  }
}

/// Waits for a condition that another thread brings about; an upper bound against hangs.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let end = ContinuousClock.now + .seconds(120)
  while try await !condition() {
    guard ContinuousClock.now < end else { throw Failure(what: "not in time: \(what)") }
    try await Task.sleep(for: .milliseconds(2))
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

/// Everything that a connection brings, as a stream.
final class Incoming: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let greeting: String
  private let texts: AsyncStream<String>.Continuation

  /// - Parameter greeting: is said as soon as the connection is there.
  init(_ texts: AsyncStream<String>.Continuation, greeting: String) {
    self.texts = texts
    self.greeting = greeting
  }

  func channelActive(context: ChannelHandlerContext) {
    if !greeting.isEmpty {
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: greeting)), promise: nil)
    }
    context.fireChannelActive()
  }

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
    to address: TransportAddress, _ options: ConnectOptions = .patient(),
    through connector: any Connector = HybridVsockConnector(), greeting: String = ""
  ) async throws -> TextConnection {
    let (stream, continuation) = AsyncStream<String>.makeStream()
    let connection = try await connector.connect(to: address, options: options) { channel in
      try channel.pipeline.syncOperations.addHandler(Incoming(continuation, greeting: greeting))
    }
    return TextConnection(connection, stream)
  }

  init(_ connection: Connection, _ texts: AsyncStream<String>) {
    self.connection = connection
    self.texts = texts
  }

  func send(_ text: String) async throws {
    try await connection.channel.writeAndFlush(ByteBuffer(string: text))
  }

  /// The next `count` characters, or fewer at the end.
  mutating func read(_ count: Int) async -> String {
    var iterator = texts.makeAsyncIterator()
    while rest.utf8.count < count, let text = await iterator.next() { rest += text }
    defer { rest = String(rest.dropFirst(count)) }
    return String(rest.prefix(count))
  }

  /// All that comes until the peer closes.
  mutating func readToEnd() async -> String { await read(.max) }

  func close() async { connection.channel.close(promise: nil) }
}

/// The failure of a dial.
func failure(
  of address: TransportAddress, _ options: ConnectOptions = .patient(),
  through connector: any Connector = HybridVsockConnector(),
  sourceLocation: SourceLocation = #_sourceLocation
) async -> TransportError? {
  do throws(TransportError) {
    let connection = try await connector.connect(to: address, options: options) { _ in }
    connection.channel.close(promise: nil)
    Issue.record("it connected", sourceLocation: sourceLocation)
    return nil
  } catch {
    return error
  }
}
