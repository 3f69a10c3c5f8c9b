import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import Synchronization
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

@Suite("Connecting anew, as a state machine") struct RedialStateMachineTests {
  private typealias Machine = RedialStateMachine<String, Int>
  private let start = ContinuousClock.now
  private static let lost = RPCError(code: .unavailable, message: "gone")

  private static func machine() -> Machine {
    Machine(backoff: .init(first: .seconds(1), most: .seconds(5)))
  }

  private func word(_ answer: Machine.Answer) -> String {
    switch answer {
    case .use(let client): "use \(client)"
    case .dial: "dial"
    case .wait: "wait"
    case .fail(let error): "fail \(error.message)"
    }
  }

  @Test("One asker dials, the others wait, and all are told")
  func one() {
    var machine = Self.machine()
    #expect(word(machine.ask(1, 10, now: start) { _ in true }) == "dial")
    #expect(word(machine.ask(2, 20, now: start) { _ in true }) == "wait")
    #expect(machine.dialled(.success("c"), now: start, random: 0).sorted() == [10, 20])
    #expect(word(machine.ask(3, 30, now: start) { _ in true }) == "use c")
    #expect(machine.current == "c")
  }

  @Test("A connection that has died is dialled anew")
  func anew() {
    var machine = Self.machine()
    _ = machine.ask(1, 1, now: start) { _ in true }
    _ = machine.dialled(.success("c"), now: start, random: 0)
    #expect(word(machine.ask(2, 2, now: start) { _ in false }) == "dial")
    #expect(machine.dialled(.success("d"), now: start, random: 0) == [2])
    #expect(machine.current == "d")
  }

  @Test("After a failure calls fail at once, for a pause that grows with failures and has an end")
  func backoff() {
    var machine = Self.machine()
    var now = start
    var pauses: [Duration] = []
    for _ in 0..<5 {
      #expect(word(machine.ask(1, 1, now: now) { _ in true }) == "dial")
      #expect(machine.dialled(.failure(Self.lost), now: now, random: 1) == [1])
      let failed = now
      while case .fail = machine.ask(2, 2, now: now, isAlive: { _ in true }) {
        now += .milliseconds(500)
      }
      pauses.append(now - failed)
      #expect(machine.dialled(.failure(Self.lost), now: now, random: 0) == [2])
      now += .seconds(1)
    }
    #expect(pauses[0] == .seconds(3))
    #expect(pauses.allSatisfy { $0 <= .seconds(5) })
  }

  @Test("Success makes the next pause short again")
  func shortAgain() {
    var machine = Self.machine()
    var now = start
    for _ in 0..<3 {
      _ = machine.ask(1, 1, now: now) { _ in true }
      _ = machine.dialled(.failure(Self.lost), now: now, random: 1)
      now += .seconds(5)
    }
    _ = machine.ask(1, 1, now: now) { _ in true }
    _ = machine.dialled(.success("c"), now: now, random: 1)
    _ = machine.ask(1, 1, now: now) { _ in false }
    _ = machine.dialled(.failure(Self.lost), now: now, random: 0)
    #expect(word(machine.ask(2, 2, now: now + .seconds(1)) { _ in true }) == "dial")
  }

  @Test("Who has given up waiting is told by nobody else")
  func withdrawn() {
    var machine = Self.machine()
    _ = machine.ask(1, 10, now: start) { _ in true }
    _ = machine.ask(2, 20, now: start) { _ in true }
    #expect(machine.withdraw(1) == 10)
    #expect(machine.withdraw(1) == nil)
    #expect(machine.dialled(.success("c"), now: start, random: 0) == [20])
    #expect(machine.withdraw(2) == nil)
  }

  @Test("A closed one tells who waits, gives its connection back, and dials no more")
  func closed() {
    var machine = Self.machine()
    _ = machine.ask(1, 10, now: start) { _ in true }
    let ended = machine.close(Self.lost)
    #expect(ended?.0 == nil && ended?.1 == [10])
    #expect(machine.close(Self.lost) == nil)
    #expect(machine.dialled(.success("late"), now: start, random: 0) == [])
    #expect(machine.current == nil)
    #expect(word(machine.ask(2, 20, now: start) { _ in true }) == "fail gone")

    var other = Self.machine()
    _ = other.ask(1, 10, now: start) { _ in true }
    _ = other.dialled(.success("c"), now: start, random: 0)
    let connected = other.close(Self.lost)
    #expect(connected?.0 == "c" && connected?.1 == [])
  }
}

@Suite("A client that connects anew", .timeLimit(.minutes(2))) struct RedialingClientTests {
  private let connectors = TransportRegistry([UnixConnector()])
  private let address = TransportAddress(
    place: .abstract(name: "hawsepipe-redial-\(getpid())-\(UInt64.random(in: 0 ... .max))"))

  /// A server that can be killed and started again. It notes its calls.
  private final class Server: Sendable {
    let calls = Mutex<[String]>([])
    let connections = Mutex(0)
    private let serving = Mutex<Task<Void, any Error>?>(nil)

    var noted: [String] { calls.withLock { $0 } }

    func start(at address: TransportAddress) throws {
      let listener = try UnixListener(bindingTo: address)
      var server = TTRPCServer()
      server.register(RPCMethod(service: "t.S", name: "Echo")) { [self] (text: Text, _) in
        calls.withLock { $0.append(text.value) }
        return text
      }
      // Hangs the first time that it is asked.
      server.register(RPCMethod(service: "t.S", name: "Second")) { [self] (text: Text, _) in
        let isFirst = calls.withLock { calls in
          calls.append(text.value)
          return calls.count == 1
        }
        if isFirst { try await Task.sleep(for: .seconds(600)) }
        return text
      }
      let task = Task { [server, self] in
        try await listener.run(policy: nil) { [self] channel in
          connections.withLock { $0 += 1 }
          try server.configure(channel)
        } onConnection: {
          try? await $0.channel.closeFuture.get()
        }
      }
      serving.withLock { $0 = task }
    }

    func stop() async {
      let task = serving.withLock { serving in
        defer { serving = nil }
        return serving
      }
      task?.cancel()
      // Cancelled, it throws nothing that matters.
      _ = try? await task?.value
    }
  }

  private static func call(
    _ client: TTRPCRedialingClient, _ method: String, _ text: String, timeout: Duration? = nil
  ) async throws(RPCError) -> String {
    try await client.unary(
      RPCMethod(service: "t.S", name: method), Text(text), returning: Text.self,
      options: RPCCallOptions(timeout: timeout)
    ).value
  }

  @Test("It connects when it is needed, once for all that wait, and anew after a loss")
  func anew() async throws {
    let server = Server()
    try server.start(at: address)
    let client = TTRPCRedialingClient(
      to: address, using: connectors,
      options: ConnectOptions(mode: .waitUntilReady(.init())))
    #expect(!client.isConnected)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<100 {
        group.addTask {
          let text = try await Self.call(client, "Echo", "\(index)")
          #expect(text == "\(index)")
        }
      }
      try await group.waitForAll()
    }
    #expect(server.connections.withLock { $0 } == 1)
    await server.stop()
    try server.start(at: address)
    // The loss may not have been noticed yet: then the first call tells of it.
    var answer: String?
    while answer == nil { answer = try? await Self.call(client, "Echo", "again") }
    #expect(answer == "again")
    #expect(server.connections.withLock { $0 } == 2)
    await client.close()
    await server.stop()
  }

  @Test("A call under way fails when its connection is lost; an idempotent one is made again")
  func underWay() async throws {
    for isIdempotent in [false, true] {
      let server = Server()
      try server.start(at: address)
      var configuration = TTRPCRedialingClient.Configuration()
      if isIdempotent { configuration.retry = .init { $0.name == "Second" } }
      let client = TTRPCRedialingClient(
        to: address, using: connectors,
        options: ConnectOptions(mode: .waitUntilReady(.init())), configuration: configuration)
      async let called = Result { () async throws in
        try await Self.call(client, "Second", "x")
      }
      while server.noted.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
      await server.stop()
      try server.start(at: address)
      switch (await called, isIdempotent) {
      case (.success(let text), true): #expect(text == "x" && server.noted == ["x", "x"])
      case (.failure(let error as RPCError), false):
        #expect(error.reason == .connectionClosed && server.noted == ["x"])
      case (let outcome, _): Issue.record("\(outcome)")
      }
      await client.close()
      await server.stop()
    }
  }

  @Test("Where nobody listens the call says so, and the next one fails at once with the same")
  func nobody() async throws {
    let client = TTRPCRedialingClient(
      to: address, using: connectors,
      configuration: .init(backoff: .init(first: .seconds(600), most: .seconds(600))))
    for _ in 0..<2 {
      let error = await #expect(throws: RPCError.self) { try await Self.call(client, "Echo", "") }
      #expect(error?.code == .unavailable && error?.reason == .connectionClosed)
      #expect(error?.cause is TransportError)
    }
    await client.close()
  }

  @Test("Waiting for a connection ends with the call's timeout, its task, and the client")
  func waiting() async throws {
    // Nobody comes to listen.
    let client = TTRPCRedialingClient(
      to: address, using: connectors,
      options: ConnectOptions(timeout: .seconds(600), mode: .waitUntilReady(.init())))
    let late = await #expect(throws: RPCError.self) {
      try await Self.call(client, "Echo", "", timeout: .milliseconds(50))
    }
    #expect(late?.reason == .deadline && late?.code == .deadlineExceeded)
    let task = Task { try await Self.call(client, "Echo", "") }
    task.cancel()
    let cancelled = await #expect(throws: RPCError.self) { try await task.value }
    #expect(cancelled?.reason == .cancelled)
    let waiting = Task { try await Self.call(client, "Echo", "") }
    try await Task.sleep(for: .milliseconds(50))
    await client.close()
    let closed = await #expect(throws: RPCError.self) { try await waiting.value }
    #expect(closed?.reason == .connectionClosed)
    let after = await #expect(throws: RPCError.self) { try await Self.call(client, "Echo", "") }
    #expect(after?.reason == .connectionClosed)
  }
}

extension Result where Failure == any Error {
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}
