import Glibc
import LinuxSystem
import Logging
import NIOCore
import NIOPosix
import Synchronization
import TCPTransport
import Testing
import TransportCore

struct Failure: Error { var what: String }

func tcp(_ host: String, _ port: UInt16 = 0, plaintext: String? = nil) -> TransportAddress {
  TransportAddress(
    place: .tcp(host: host, port: port),
    parameters: plaintext.map { [.init("plaintext", $0)] } ?? [])
}

extension TransportAddress {
  /// The port of a TCP address.
  var port: UInt16 {
    if case .tcp(_, let port) = place { port } else { 0 }
  }
}

extension ConnectOptions {
  /// Limits that only a hang reaches, however busy the machine is.
  static func patient(
    tryLimit: Duration = .seconds(600), mode: Mode = .failFast, policy: PeerPolicy? = nil,
    plaintext: Plaintext = .loopbackOnly
  ) -> ConnectOptions {
    ConnectOptions(
      timeout: .seconds(600), tryLimit: tryLimit, mode: mode, policy: policy, plaintext: plaintext)
  }
}

/// The error of a connect that must fail.
func failure(
  _ address: TransportAddress, _ options: ConnectOptions = .patient(),
  _ connector: TCPConnector = TCPConnector()
) async -> TransportError? {
  await #expect(throws: TransportError.self) {
    _ = try await connector.connect(to: address, options: options) { _ in }
  }
}

func listen(
  _ address: TransportAddress = tcp("127.0.0.1"), _ options: ListenOptions = ListenOptions(),
  _ factory: TCPListenerFactory = TCPListenerFactory()
) async throws(TransportError) -> any Listener {
  try await factory.listen(at: address, options: options)
}

/// A resolver of a test's own, whose names are real nowhere.
func resolver(
  _ answer:
    @escaping @Sendable (String, InternetAddress.Family) async -> Result<
      [String], ResolutionFailure
    >
) -> NameResolver {
  NameResolver { name, family in
    await answer(name, family).map { literals in
      literals.map { literal in
        // Tests' own literals are literals.
        // swift-format-ignore: NeverUseForceTry, NeverForceUnwrap
        try! InternetAddress.parse(literal)!
      }
    }
  }
}

/// One name with these addresses.
func resolver(v6: [String], v4: [String]) -> NameResolver {
  resolver { _, family in .success(family == .v6 ? v6 : v4) }
}

/// Sends back what it gets.
final class EchoHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
  }
}

/// Runs an echo server at a listener while `body` runs.
@discardableResult
func withEchoServer<Result: Sendable>(
  _ listener: any Listener, policy: PeerPolicy? = nil,
  onPeer: @escaping @Sendable (PeerIdentity) -> Void = { _ in },
  _ body: @Sendable @escaping () async throws -> Result
) async throws -> Result {
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask {
      try await listener.run(policy: policy) { channel in
        try channel.pipeline.syncOperations.addHandler(EchoHandler())
      } onConnection: { connection in
        onPeer(connection.peer)
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

/// Connects, sends a word there and back, and closes.
@discardableResult
func exchange(
  _ address: TransportAddress, _ options: ConnectOptions = .patient(),
  _ connector: TCPConnector = TCPConnector()
) async throws -> Connection {
  let (texts, arrival) = AsyncStream<String>.makeStream()
  let connection = try await connector.connect(to: address, options: options) { channel in
    try channel.pipeline.syncOperations.addHandler(Incoming(arrival))
  }
  try await connection.channel.writeAndFlush(ByteBuffer(string: "word"))
  var all = ""
  for await text in texts {
    all += text
    if all.utf8.count >= 4 { break }
  }
  #expect(all == "word")
  try await connection.channel.close()
  return connection
}

private final class Incoming: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let texts: AsyncStream<String>.Continuation

  init(_ texts: AsyncStream<String>.Continuation) { self.texts = texts }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    texts.yield(String(buffer: unwrapInboundIn(data)))
  }

  func channelInactive(context: ChannelHandlerContext) { texts.finish() }
}

/// A listening socket that accepts nobody and has no room: who connects to it hears nothing.
final class MuteServer: Sendable {
  let host: String
  let address: TransportAddress
  private let descriptors: [CInt]

  /// - Parameter port: 0 for a free one.
  init(_ host: String = "127.0.0.1", port: UInt16 = 0) throws {
    let family = host.contains(":") ? AF_INET6 : AF_INET
    var all = [try Self.socket(family)]
    let literal = try #require(try InternetAddress.parse(host))
    let bound = literal.withSocketAddress(port: port) { bind(all[0], $0, $1) }
    guard bound == 0, Glibc.listen(all[0], 0) == 0 else {
      throw SystemError.last("bind or listen")
    }
    // The port of an IPv4 address is at the same place.
    var name = sockaddr_in6()
    var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let named = withUnsafeMutablePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(all[0], $0, &size) }
    }
    guard named == 0 else { throw SystemError.last("getsockname") }
    let port = UInt16(bigEndian: name.sin6_port)
    self.host = host
    address = tcp(host, port)
    // A backlog of 0 has room for one that is through; more do not harm.
    for _ in 0..<4 {
      let filler = try Self.socket(family)
      _ = literal.withSocketAddress(port: port) { connect(filler, $0, $1) }
      all.append(filler)
    }
    descriptors = all
  }

  deinit { for descriptor in descriptors { close(descriptor) } }

  private static func socket(_ family: CInt) throws -> CInt {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let made = Glibc.socket(family, kind, 0)
    guard made >= 0 else { throw SystemError.last("socket") }
    return made
  }
}

/// Waits for a condition that another thread or process brings about; an upper bound against hangs.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let clock = ContinuousClock()
  let end = clock.now + .seconds(120)
  while try await !condition() {
    guard clock.now < end else { throw Failure(what: "not in time: \(what)") }
    try await clock.sleep(for: .milliseconds(5))
  }
}

/// What was logged.
final class Log: Sendable {
  private let lines = Mutex<[String]>([])

  var logger: Logger {
    Logger(label: "test") { _ in Handler(log: self) }
  }

  var warnings: [String] { lines.withLock { $0 } }

  private struct Handler: LogHandler {
    let log: Log
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      guard event.level == .warning else { return }
      log.lines.withLock { $0.append("\(event.message)") }
    }
  }
}
