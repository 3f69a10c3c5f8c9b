import NIOCore
import Testing
import TransportCore

@Suite struct ConnectTests {
  private let address = TransportAddress(rpc: .ttrpc, place: .memory(name: "x"))
  private let waiting = ConnectOptions.Mode.waitUntilReady(
    .init(first: .milliseconds(1), most: .milliseconds(2)))

  /// Limits that only a hang reaches, however busy the machine is.
  private func options(
    timeout: Duration = .seconds(600), tryLimit: Duration = .seconds(600),
    mode: ConnectOptions.Mode = .failFast
  ) -> ConnectOptions {
    ConnectOptions(timeout: timeout, tryLimit: tryLimit, mode: mode)
  }

  private func connect(
    _ connector: ScriptedConnector, _ options: ConnectOptions
  ) async throws(TransportError) -> Connection {
    try await connector.connect(to: address, options: options) { _ in }
  }

  @Test("Failing fast reports the one try")
  func failFast() async {
    let connector = ScriptedConnector { _ throws(AttemptFailure) in throw .refused }
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options())
    }
    #expect(connector.tries == 1)
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.count == 1)
    #expect(error?.attempts.first?.failure.errno == 111)
    for part in [
      "ttrpc+memory://x", "nobody listens", "Tried once: connect: ECONNREFUSED",
      "Start the server.",
    ] {
      #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
    }
  }

  @Test("Waiting connects once the peer is there")
  func waits() async throws {
    let connector = ScriptedConnector { index throws(AttemptFailure) in
      if index == 3 {
        throw AttemptFailure(phase: .connect, errno: 24, message: "", outlook: .transient)
      }
      if index < 5 { throw .refused }
    }
    let connection = try await connect(connector, options(mode: waiting))
    #expect(connector.tries == 5)
    #expect(connection.address == address)
  }

  @Test("Waiting ends with the time, and tells how often it tried")
  func timesOut() async {
    let connector = ScriptedConnector { _ throws(AttemptFailure) in throw .refused }
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options(timeout: .seconds(2), mode: waiting))
    }
    #expect(error?.code == .timedOut)
    #expect(error?.attempts.reduce(0) { $0 + $1.count } == connector.tries)
    // How many there were depends on how busy the machine is.
    let tried = connector.tries == 1 ? "Tried once" : "Tried \(connector.tries) times"
    #expect(error?.description.contains(tried) == true)
  }

  @Test("Waiting ends at once when trying again cannot help")
  func fatal() async {
    let connector = ScriptedConnector { _ throws(AttemptFailure) in
      throw AttemptFailure(phase: .connect, errno: 13, message: "denied", outlook: .fatal)
    }
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options(mode: waiting))
    }
    #expect(connector.tries == 1)
    #expect(error?.code == .connectFailed)
  }

  @Test("A peer that the policy refuses has its own code")
  func policy() async {
    let connector = ScriptedConnector { _ throws(AttemptFailure) in
      throw .refused(PeerIdentity(), by: PeerPolicy(name: "nobody") { _ in false })
    }
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options(mode: waiting))
    }
    #expect(connector.tries == 1)
    #expect(error?.code == .refusedByPolicy)
    #expect(error?.description.contains("nobody") == true)
  }

  /// Never gets anywhere, and ends when it is cancelled.
  private static func mute(_ index: Int) async throws(AttemptFailure) {
    do {
      try await Task.sleep(for: .seconds(3600))
    } catch {
      throw .cancelled(during: .handshake)
    }
  }

  @Test("A mute peer costs one try its limit, and the next try is made")
  func tryLimit() async throws {
    let connector = ScriptedConnector { index throws(AttemptFailure) in
      if index < 3 { try await Self.mute(index) }
    }
    var options = self.options(tryLimit: .milliseconds(20), mode: waiting)
    _ = try await connect(connector, options)
    #expect(connector.tries >= 3)

    let mute = ScriptedConnector { index throws(AttemptFailure) in try await Self.mute(index) }
    options.mode = .failFast
    let error = await #expect(throws: TransportError.self) { try await connect(mute, options) }
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.phase == .handshake)
    #expect(error?.description.contains("ETIMEDOUT") == true)
  }

  @Test("The whole time bounds a try, too")
  func wholeTime() async {
    let connector = ScriptedConnector { index throws(AttemptFailure) in try await Self.mute(index) }
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options(timeout: .milliseconds(20)))
    }
    #expect(error?.code == .timedOut)
    #expect(error?.attempts.count == 1)
  }

  @Test("Cancellation ends a try and a pause at once", arguments: [true, false])
  func cancellation(duringPause: Bool) async {
    let (started, signal) = AsyncStream<Void>.makeStream()
    let connector = ScriptedConnector { index throws(AttemptFailure) in
      signal.yield()
      if duringPause { throw .refused }
      try await Self.mute(index)
    }
    let backoff = ConnectOptions.Backoff(first: .seconds(600), most: .seconds(600))
    let options = ConnectOptions(
      timeout: .seconds(3600), tryLimit: .seconds(3600), mode: .waitUntilReady(backoff))
    let task = Task { try await connect(connector, options) }
    for await _ in started { break }
    task.cancel()
    let error = await #expect(throws: TransportError.self) { try await task.value }
    #expect(error?.code == .cancelled)
    #expect(error?.attempts.count == 1)
  }

  @Test("Times without end do not overflow")
  func endless() async throws {
    let forever = Duration.seconds(Int64.max / 2)
    let options = ConnectOptions(timeout: forever, tryLimit: forever, mode: .waitUntilReady())
    _ = try await connect(ScriptedConnector(), options)
  }

  @Test("The registry finds the connector, or names those that there are")
  func registry() async throws {
    var registry = TransportRegistry([ScriptedConnector("unix")])
    registry.register(ScriptedConnector("pigeon"))
    #expect(registry.transports == ["pigeon", "unix"])

    let address = try registry.parse("ttrpc+pigeon://coop")
    #expect(address.place == .other(transport: "pigeon", place: "coop"))
    let connection = try await registry.connect(to: address, options: options()) { _ in }
    #expect(connection.address == address)
    #expect(throws: Never.self) { try registry.connector(for: registry.parse("unix://@x")) }

    let missing = #expect(throws: TransportError.self) {
      try registry.connector(for: TransportAddress(parsing: "ttrpc+vsock://3:1024"))
    }
    #expect(missing?.code == .noConnector)
    #expect(missing?.description.contains("\"vsock\"; registered are: pigeon, unix") == true)

    let layer = #expect(throws: TransportError.self) {
      try registry.connector(for: TransportAddress(parsing: "tls+unix:///x"))
    }
    #expect(layer?.code == .noConnector)
    #expect(layer?.description.contains("layer \"tls\"") == true)
  }

  @Test("Thousands of failures of two kinds are two entries, wherever they came")
  func folding() async {
    let connector = ScriptedConnector { index throws(AttemptFailure) in
      if index % 2 == 0 { throw .refused }
      throw AttemptFailure(
        phase: .handshake, errno: 104, message: "reset", outlook: index < 9999 ? .notReady : .fatal)
    }
    let backoff = ConnectOptions.Backoff(first: .zero, most: .zero)
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options(mode: .waitUntilReady(backoff)))
    }
    #expect(error?.attempts.map(\.count) == [4999, 4999, 1])
    let text = error?.description ?? ""
    for part in [
      "cannot connect to ttrpc+memory://x: reset. Tried 9999 times: ",
      "4999 × handshake: ECONNRESET, reset (", " in all); 4999 × connect: ECONNREFUSED, nobody",
    ] { #expect(text.contains(part), "\(text)") }
  }

  @Test("What cut the last try short is not the reason that is given")
  func decisive() async {
    let connector = ScriptedConnector { index throws(AttemptFailure) in
      if index == 1 { throw .refused }
      try await Self.mute(index)
    }
    let error = await #expect(throws: TransportError.self) {
      try await connect(connector, options(timeout: .milliseconds(500), mode: waiting))
    }
    #expect(error?.code == .timedOut)
    #expect(error?.message == "no connection to ttrpc+memory://x in time: nobody listens")
    #expect(error?.hint == "start the server")
  }

  @Test("A connector of a known transport takes the place of the one before")
  func replacing() async throws {
    let first = ScriptedConnector("memory")
    let second = ScriptedConnector("memory")
    var registry = TransportRegistry([first])
    registry.register(second)
    _ = try await registry.connect(to: address, options: options()) { _ in }
    #expect((first.tries, second.tries) == (0, 1))
  }
}
