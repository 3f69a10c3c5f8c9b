import NIOCore
import NIOEmbedded
import Synchronization
import Testing
import TransportCore

@Suite struct ReadinessTests {
  private let address = TransportAddress(place: .memory(name: "x"))
  private let options = ConnectOptions(
    timeout: .seconds(600), tryLimit: .seconds(600),
    mode: .waitUntilReady(.init(first: .milliseconds(1), most: .milliseconds(2))))

  private struct NotYet: Error {}

  @Test("A peer is ready when it is there and its probe succeeds, and the connections are closed")
  func ready() async throws {
    let connector = ScriptedConnector(peer: PeerIdentity(isThisProcess: true)) {
      index throws(AttemptFailure) in
      if index < 3 { throw .refused }
    }
    let checks = Mutex(0)
    let readiness = try await connector.waitUntilReady(
      at: address,
      probe: ReadinessProbe(name: "third time") { _ in
        let check = checks.withLock { checks in
          checks += 1
          return checks
        }
        if check < 3 { throw NotYet() }
      }, options: options)
    #expect(readiness.attempts == 5)
    #expect(readiness.peer.isThisProcess)
    #expect(readiness.timings.map(\.phase) == [.connect, .identity, .probe])
    for attempt in connector.attempts.suffix(3) {
      try await attempt.channel?.closeFuture.get()
    }
  }

  @Test("Without a probe, a connection is enough")
  func transport() async throws {
    let connector = ScriptedConnector()
    let readiness = try await connector.waitUntilReady(at: address)
    #expect(readiness.attempts == 1)
    let registry = TransportRegistry([connector])
    _ = try await registry.waitUntilReady(at: address, probe: .transport, options: options)
    #expect(connector.tries == 2)
    let error = await #expect(throws: TransportError.self) {
      try await TransportRegistry().waitUntilReady(at: address)
    }
    #expect(error?.code == .noConnector)
  }

  private func failure(
    _ probe: ReadinessProbe, _ options: ConnectOptions
  ) async -> (TransportError?, Int) {
    let connector = ScriptedConnector()
    let error = await #expect(throws: TransportError.self) {
      try await connector.waitUntilReady(at: address, probe: probe, options: options)
    }
    return (error, connector.tries)
  }

  @Test("A probe says what is final; failing fast, everything is")
  func failures() async {
    let fatal = AttemptFailure(phase: .probe, message: "another protocol", outlook: .fatal)
    var (error, tries) = await failure(ReadinessProbe(name: "x") { _ in throw fatal }, options)
    #expect(tries == 1)
    #expect(error?.description.contains("another protocol") == true)

    (error, tries) = await failure(
      ReadinessProbe(name: "x") { _ in
        throw TransportError(code: .refusedByPolicy, message: "not you")
      }, options)
    #expect(tries == 1)
    #expect(error?.code == .refusedByPolicy)

    var once = options
    once.mode = .failFast
    (error, tries) = await failure(ReadinessProbe(name: "check") { _ in throw NotYet() }, once)
    #expect(tries == 1)
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.phase == .probe)
    #expect(error?.message.contains("the probe \"check\" failed: NotYet()") == true)
  }

  @Test("A probe that hangs ends with its try: it is cancelled, and its connection closed")
  func hangs() async {
    var limited = options
    limited.tryLimit = .milliseconds(20)
    limited.mode = .failFast
    let probe = ReadinessProbe(name: "mute") { connection in
      try await connection.channel.closeFuture.get()
      throw NotYet()
    }
    let (error, _) = await failure(probe, limited)
    #expect(error?.attempts.first?.failure.phase == .probe)
    #expect(error?.description.contains("ETIMEDOUT") == true)
  }

  @Test("Cancellation ends the wait at once")
  func cancellation() async {
    let (started, signal) = AsyncStream<Void>.makeStream()
    let probe = ReadinessProbe(name: "mute") { connection in
      signal.yield()
      try await connection.channel.closeFuture.get()
    }
    let task = Task {
      try await ScriptedConnector().waitUntilReady(at: address, probe: probe, options: options)
    }
    for await _ in started { break }
    task.cancel()
    // A probe that ends well although it was cancelled has succeeded: either end is right.
    do {
      _ = try await task.value
    } catch {
      #expect((error as? TransportError)?.code == .cancelled)
    }
  }

  @Test("A probe's handlers and its check share what one try finds out")
  func state() async throws {
    let connector = ScriptedConnector()
    let probe = ReadinessProbe(
      name: "shared", makeState: { Counter() },
      configure: { _, counter in counter.value.withLock { $0 += 1 } },
      check: { _, counter in
        #expect(counter.value.withLock { $0 } == 1)
        if connector.tries < 3 { throw NotYet() }
      })
    let readiness = try await connector.waitUntilReady(
      at: address, probe: probe, options: options)
    #expect(readiness.attempts == 3)
  }

  private final class Counter: Sendable {
    let value = Mutex(0)
  }
}
