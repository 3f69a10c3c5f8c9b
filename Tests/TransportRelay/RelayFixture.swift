import Glibc
import Logging
import NIOCore
import Synchronization
import Testing
import TransportCore
import TransportRelay
import UnixTransport

/// A relay between two unix sockets in a directory of the test's own. The near peers and the far
/// server are plain sockets.
final class RelayFixture: Sendable {
  let directory: String
  let relay: Relay
  let log = TestLog()
  private let far: Mutex<RawSocket?>
  private let sockets = Mutex<[RawSocket]>([])
  private let work: Task<Void, any Error>

  var nearPath: String { "\(directory)/near" }
  var farPath: String { "\(directory)/far" }

  private init(
    _ options: RelayOptions, listens: Bool, connector: any Connector
  ) throws {
    var template = Array("/tmp/hr-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var options = options
    options.logger = log.logger
    let listener = try UnixListener(
      bindingTo: TransportAddress(place: .unix(path: "\(directory)/near")),
      options: .init(logger: log.logger))
    relay = try Relay(
      from: listener, to: TransportAddress(place: .unix(path: "\(directory)/far")),
      registry: TransportRegistry([connector]), options: options)
    far = Mutex(listens ? try RawSocket.listening(at: "\(directory)/far") : nil)
    work = Task { [relay] in try await relay.run() }
  }

  static func use(
    _ options: RelayOptions = RelayOptions(), listens: Bool = true,
    connector: any Connector = UnixConnector(), _ body: (RelayFixture) async throws -> Void
  ) async throws {
    let fixture = try RelayFixture(options, listens: listens, connector: connector)
    do {
      try await body(fixture)
    } catch {
      Issue.record(error)
    }
    fixture.cancel()
    try await fixture.end()
    #expect(fixture.relay.statistics.open == 0)
    for socket in fixture.sockets.withLock({ $0 }) { socket.close() }
    fixture.stopServing()
    rmdir(fixture.directory)
  }

  func cancel() { work.cancel() }

  /// Waits until the relay has ended.
  func end() async throws { try await within("the relay's end") { try await self.work.value } }

  /// The test's connection, closed at its end.
  func connect() throws -> RawSocket { keep(try RawSocket.connected(to: nearPath)) }

  /// What the relay dialled.
  func accept() async throws -> RawSocket {
    let server = try #require(far.withLock { $0 })
    return keep(try await server.accept())
  }

  func pair() async throws -> (near: RawSocket, far: RawSocket) {
    let near = try connect()
    return (near, try await accept())
  }

  func serve() throws {
    let socket = try RawSocket.listening(at: farPath)
    far.withLock { $0 = socket }
  }

  func stopServing() {
    far.withLock {
      $0?.close()
      $0 = nil
    }
    unlink(farPath)
  }

  /// Closes one of the test's sockets before its end.
  func close(_ socket: RawSocket) {
    let isOurs = sockets.withLock { sockets in
      let count = sockets.count
      sockets.removeAll { $0.descriptor == socket.descriptor }
      return sockets.count < count
    }
    if isOurs { socket.close() }
  }

  private func keep(_ socket: RawSocket) -> RawSocket {
    sockets.withLock { $0.append(socket) }
    return socket
  }

  func eventually(
    _ what: String, _ condition: (RelayStatistics) -> Bool
  ) async throws {
    try await TransportRelayTests.eventually(what) { condition(relay.statistics) }
  }
}

/// Unix sockets whose connections are over when the dialer hears of them.
struct OverWhenConnected: Connector {
  let transport = "unix"
  /// Whether it tells a failure in front of the end of its input, as a command that failed does.
  var failsAtEnd = false

  private final class Failing: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    struct Failure: Error {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if case ChannelEvent.inputClosed = event { context.fireErrorCaught(Failure()) }
      context.fireUserInboundEventTriggered(event)
    }
  }

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let failsAtEnd = failsAtEnd
    let connection = try await UnixConnector().attempt(address, options: options) { channel in
      if failsAtEnd { try channel.pipeline.syncOperations.addHandler(Failing()) }
      try configure(channel)
    }
    do {
      try await connection.channel.closeFuture.get()
    } catch {
      // However it ended, it ended.
    }
    return connection
  }
}

/// Unix sockets that say of themselves that they cannot carry an end of one direction.
struct WithoutHalfClose: Connector {
  let transport = "unix"

  func attempt(
    _ address: TransportAddress, options: ConnectOptions,
    configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws(AttemptFailure) -> Connection {
    let real = try await UnixConnector().attempt(address, options: options, configure: configure)
    return Connection(
      channel: real.channel, address: real.address, peer: real.peer, timings: real.timings,
      carriesHalfClose: false)
  }
}

/// Keeps what is logged.
final class TestLog: Sendable {
  private let entries = Mutex<[String]>([])

  var lines: [String] { entries.withLock { $0 } }

  var logger: Logger { Logger(label: "test") { _ in Handler(log: self) } }

  private struct Handler: LogHandler {
    let log: TestLog
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let text = (event.metadata ?? [:]).sorted { $0.key < $1.key }
        .map { "\($0.key)=\($0.value)" }.joined(separator: " ")
      log.entries.withLock { $0.append("\(event.level) \(event.message) \(text)") }
    }
  }
}

struct NeverHappened: Error {
  var what: String
}

/// Looks again and again. The limit is against hangs only.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(60)
  while try await !condition() {
    guard ContinuousClock.now < deadline else { throw NeverHappened(what: what) }
    try await Task.sleep(for: .milliseconds(5))
  }
}

func within<Result: Sendable>(
  _ what: String, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
  try await withThrowingTaskGroup(of: Result?.self) { group in
    group.addTask { try await body() }
    group.addTask {
      try await Task.sleep(for: .seconds(60))
      return nil
    }
    defer { group.cancelAll() }
    guard let result = try await group.next(), let result else { throw NeverHappened(what: what) }
    return result
  }
}
