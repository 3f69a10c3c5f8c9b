import Glibc
import LinuxSystem
import NIOCore
import NIOPosix
import TLSTransport
import Testing
import TransportCore
import UnixTransport

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

  /// Writes a file in one step, as programs that renew certificates do.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o600) throws -> String {
    let temporary = "\(path)/.\(name).new"
    do {
      let file = try OwnedDescriptor(
        opening: temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
      try file.setMode(mode)
      try file.write(bytes)
    }
    guard rename(temporary, "\(path)/\(name)") == 0 else { throw Failure(what: "rename") }
    return "\(path)/\(name)"
  }

  private static func remove(_ path: String) {
    // What cannot be listed cannot be removed either.
    let names = (try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names()) ?? []
    for name in names where unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
    rmdir(path)
  }
}

/// Waits for a condition that another thread or process brings about; an upper bound against hangs.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let clock = ContinuousClock()
  let end = clock.now + .seconds(30)
  while try await !condition() {
    guard clock.now < end else { throw Failure(what: "not in time: \(what)") }
    try await clock.sleep(for: .milliseconds(5))
  }
}

/// Compares what may be long: the macro itself would look for the least difference, for hours.
func expectSame(
  _ actual: [UInt8], _ expected: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
) {
  if actual == expected { return }
  let offset = zip(actual, expected).prefix { $0 == $1 }.count
  Issue.record(
    "\(actual.count) bytes, and \(expected.count) are expected; they differ from \(offset) on",
    sourceLocation: sourceLocation)
}

/// A CA, a server `build-7.example` and a client, in files.
final class TestPKI: Sendable {
  let directory: TemporaryDirectory
  let authority: PrivateAuthority

  init() throws {
    directory = try TemporaryDirectory()
    authority = try PrivateAuthority(commonName: "test CA")
    try directory.write("ca.pem", authority.certificate)
    try issue("server", .server, [.dns("build-7.example")])
    try issue("client", .client, [.uri("spiffe://example.org/client")])
  }

  func path(_ name: String) -> String { "\(directory.path)/\(name)" }

  func issue(
    _ name: String, _ usage: PrivateAuthority.Usage, _ names: [TLSPeerName],
    validity: PrivateAuthority.Validity = .days(90), by other: PrivateAuthority? = nil
  ) throws {
    let pair = try (other ?? authority).issue(
      usage, names: names, commonName: name, validity: validity)
    try directory.write("\(name).key", pair.key)
    try directory.write("\(name).pem", pair.certificate)
  }

  func configuration(
    _ name: String, _ set: (inout TLSConfiguration) -> Void = { _ in }
  ) -> TLSConfiguration {
    TLSConfiguration {
      $0.authority = .file(path("ca.pem"))
      $0.certificate = .file(path("\(name).pem"))
      $0.key = .file(path("\(name).key"))
      set(&$0)
    }
  }

  func server(_ set: (inout TLSConfiguration) -> Void = { _ in }) -> TLSConfiguration {
    configuration("server", set)
  }

  func client(_ set: (inout TLSConfiguration) -> Void = { _ in }) -> TLSConfiguration {
    configuration("client") {
      $0.serverName = "build-7.example"
      set(&$0)
    }
  }

  /// Such as `tls+unix:///tmp/…/x.sock`.
  func address(_ name: String = "x.sock", _ parameters: [(String, String)] = []) -> TransportAddress
  {
    TransportAddress(
      layers: ["tls"], place: .unix(path: path(name)),
      parameters: parameters.map { TransportAddress.Parameter($0.0, $0.1) })
  }
}

/// Listens with TLS over a unix socket while `body` runs, each connection served by `serve`.
func withServer<T: Sendable>(
  _ pki: TestPKI, _ configuration: TLSConfiguration, layer: TLSLayer? = nil,
  policy: PeerPolicy? = nil, options: ListenOptions = ListenOptions(),
  rpc: TransportAddress.RPCProtocol? = nil,
  serve: @escaping @Sendable (Connection) async -> Void = { await $0.closed() },
  handlers: @escaping @Sendable () -> [any ChannelHandler] = { [EchoHandler()] },
  _ body: (any Listener) async throws -> T
) async throws -> T {
  let layer = layer ?? TLSLayer(configuration)
  var address = pki.address()
  address.rpc = rpc
  let inner = try UnixListener(bindingTo: address.inner, options: .init(replacing: true))
  let listener = try await layer.listener(over: inner, at: address, options: options)
  return try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask {
      try await listener.run(policy: policy) { channel in
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandlers(handlers())
      } onConnection: { connection in
        await serve(connection)
      }
    }
    do {
      let result = try await body(listener)
      group.cancelAll()
      try await group.waitForAll()
      return result
    } catch {
      group.cancelAll()
      throw error
    }
  }
}

/// The TLSError behind what a connect or a listen threw, or behind what a connection ended with.
func tlsError(_ error: (any Error)?) -> TLSError? {
  switch error {
  case let error as TLSError: error
  case let error as TransportError: tlsError(error.cause)
  case let error as AttemptFailure: tlsError(error.cause)
  default: nil
  }
}

/// The reason why a client is not let in. A TLS 1.3 server that is slow to say so is heard only after
/// the connect.
func refusal(_ body: () async throws -> TestConnection) async throws -> TLSError {
  do {
    let connection = try await body()
    let ending = await connection.ending()
    await connection.close()
    return try #require(tlsError(ending), "it ended with \(String(describing: ending))")
  } catch {
    return try #require(tlsError(error), "it failed with \(error)")
  }
}

extension Connection {
  func closed() async {
    // Closed with an error is closed.
    try? await channel.closeFuture.get()
  }
}

func connect(
  _ pki: TestPKI, _ configuration: TLSConfiguration, layer: TLSLayer? = nil,
  options: ConnectOptions = ConnectOptions(timeout: .seconds(30), tryLimit: .seconds(30)),
  parameters: [(String, String)] = [], rpc: TransportAddress.RPCProtocol? = nil
) async throws -> TestConnection {
  let connector = (layer ?? TLSLayer(configuration)).connector(over: UnixConnector())
  var address = pki.address("x.sock", parameters)
  address.rpc = rpc
  return try await TestConnection(connector, address, options)
}

/// Sends back what it gets, and its end.
final class EchoHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.write(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
  }

  func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent {
      context.close(mode: .output, promise: nil)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
