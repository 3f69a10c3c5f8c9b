import Glibc
import NIOCore
import Synchronization
import TCPTransport
import Testing
import TransportCore

@Suite struct TCPRaceTests {
  private func connector(v6: [String] = [], v4: [String] = []) -> TCPConnector {
    TCPConnector(resolver: resolver(v6: v6, v4: v4))
  }

  @Test("An address that refuses is followed by one that does not")
  func refusedFirst() async throws {
    let listener = try await listen()
    let port = listener.boundAddress.port
    let connection = try await withEchoServer(listener) {
      try await exchange(tcp("both", port), .patient(), connector(v6: ["::1"], v4: ["127.0.0.1"]))
    }
    #expect(connection.peer.network?.host == "127.0.0.1")
    #expect(connection.address == tcp("both", port))
  }

  @Test("An address that does not answer is overtaken by one that does")
  func muteFirst() async throws {
    let listener = try await listen()
    let port = listener.boundAddress.port
    let mute = try MuteServer("127.0.0.2", port: port)
    let connection = try await withEchoServer(listener) {
      try await exchange(
        tcp("two", port), .patient(), connector(v4: ["127.0.0.2", "127.0.0.1"]))
    }
    #expect(connection.peer.network?.host == "127.0.0.1")
    withExtendedLifetime(mute) {}
  }

  @Test("IPv6 goes first where both answer")
  func prefersIPv6() async throws {
    let listener = try await listen(tcp("::"), ListenOptions(plaintext: .secured))
    let port = listener.boundAddress.port
    let connection = try await withEchoServer(listener) {
      try await exchange(tcp("both", port), .patient(), connector(v6: ["::1"], v4: ["127.0.0.1"]))
    }
    #expect(connection.peer.network?.host == "::1")
  }

  @Test("A family whose lookup never ends does not hold up the other one")
  func slowFamily() async throws {
    let listener = try await listen()
    let port = listener.boundAddress.port
    let half = TCPConnector(
      resolver: resolver { _, family in
        if family == .v4 { return .success(["127.0.0.1"]) }
        // Until it is cancelled.
        try? await Task.sleep(for: .seconds(3600))
        return .success([])
      })
    try await withEchoServer(listener) { try await exchange(tcp("half", port), .patient(), half) }
  }

  @Test(
    "When every address fails the error has all of them, and waiting is worth it if one may come")
  func allFail() async throws {
    let listener = try await listen()
    let port = listener.boundAddress.port
    listener.close()
    let both = connector(v6: ["::1"], v4: ["127.0.0.1", "127.0.0.3"])
    let error = await failure(tcp("both", port), .patient(), both)
    let attempt = try #require(error?.attempts.first).failure
    #expect(attempt.errno == ECONNREFUSED)
    #expect(attempt.outlook == .notReady)
    for part in ["[::1]:\(port)", "127.0.0.1:\(port)", "127.0.0.3:\(port)", "ECONNREFUSED"] {
      #expect(attempt.message.contains(part), "\(attempt.message)")
    }
  }

  // MARK: Silence

  @Test("A host that does not answer bounds the try, and the error says what to look at")
  func mute() async throws {
    let mute = try MuteServer()
    let error = await failure(mute.address, .patient(tryLimit: .milliseconds(100)))
    #expect(error?.code == .connectFailed)
    let attempt = try #require(error?.attempts.first).failure
    #expect(attempt.errno == ETIMEDOUT)
    #expect(attempt.phase == .connect)
    #expect(attempt.outlook == .notReady)
    #expect(attempt.hint?.contains("firewall") == true)
    withExtendedLifetime(mute) {}
  }

  @Test("A connect that waits for an answer is cancelled at once")
  func cancelConnect() async throws {
    let mute = try MuteServer()
    let address = mute.address
    let task = Task { try await TCPConnector().connect(to: address, options: .patient()) { _ in } }
    try await Task.sleep(for: .milliseconds(30))
    task.cancel()
    let error = await #expect(throws: TransportError.self) { try await task.value }
    #expect(error?.code == .cancelled)
    withExtendedLifetime(mute) {}
  }

  // MARK: Names

  private let silence = resolver { _, _ in
    try? await Task.sleep(for: .seconds(3600))
    return .failure(ResolutionFailure(code: EAI_AGAIN))
  }

  @Test("A lookup that never ends bounds the try, and is told as one")
  func slowLookup() async throws {
    let error = await failure(
      tcp("slow", 1), .patient(tryLimit: .milliseconds(50)), TCPConnector(resolver: silence))
    let attempt = try #require(error?.attempts.first).failure
    #expect(attempt.phase == .resolve)
    #expect(attempt.errno == ETIMEDOUT)
    #expect(attempt.hint?.contains("name servers") == true)
  }

  @Test("A connect that waits for a name is cancelled at once")
  func cancelLookup() async throws {
    let connector = TCPConnector(resolver: silence)
    let task = Task {
      try await connector.connect(to: tcp("slow", 1), options: .patient()) { _ in }
    }
    try await Task.sleep(for: .milliseconds(20))
    task.cancel()
    let error = await #expect(throws: TransportError.self) { try await task.value }
    #expect(error?.code == .cancelled)
  }

  @Test("Lookups of the system's may be left, and more of them than there are threads for")
  func manyLookups() async throws {
    await withTaskGroup(of: Void.self) { group in
      for round in 0..<200 {
        let task = Task { await NameResolver.system.resolve("localhost", .v4) }
        if round.isMultiple(of: 2) { task.cancel() }
        group.addTask {
          let answer = await task.value
          if round.isMultiple(of: 2) { return }
          #expect((try? answer.get())?.contains { $0.isLoopback } == true, "\(answer)")
        }
      }
    }
  }

  @Test(
    "A name that has no address says why, and whether it may have one later",
    arguments: [
      (EAI_NONAME, EAI_NONAME, AttemptFailure.Outlook.fatal, "no host named"),
      (-5, -5, .fatal, "no host named"), (-9, EAI_NONAME, .fatal, "no host named"),
      (EAI_AGAIN, EAI_AGAIN, .notReady, "no name server"),
      (EAI_AGAIN, EAI_NONAME, .notReady, "no name server"),
      (EAI_NONAME, EAI_AGAIN, .notReady, "no name server"),
      (EAI_FAIL, EAI_FAIL, .notReady, "no name server"), (EAI_MEMORY, -5, .transient, "no memory"),
      (EAI_SYSTEM, EAI_SYSTEM, .transient, "descriptor"), (EAI_FAMILY, -5, .fatal, "ai_family"),
    ])
  func noAddress(
    v6: Int32, v4: Int32, outlook: AttemptFailure.Outlook, words: String
  ) async throws {
    let failing = resolver { _, family in
      .failure(ResolutionFailure(code: family == .v6 ? v6 : v4, errno: EMFILE))
    }
    let error = await failure(tcp("nowhere", 1), .patient(), TCPConnector(resolver: failing))
    let attempt = try #require(error?.attempts.first).failure
    #expect(attempt.phase == .resolve)
    #expect(attempt.outlook == outlook)
    #expect(attempt.message.contains("nowhere"))
    #expect(words == "descriptor" || attempt.message.contains(words), "\(attempt.message)")
    let listening = await #expect(throws: TransportError.self) {
      try await TCPListenerFactory(resolver: failing).listen(
        at: tcp("nowhere"), options: ListenOptions())
    }
    #expect(listening?.code == .listenFailed)
  }

  @Test("A name with no addresses at all is nobody's")
  func emptyName() async {
    let error = await failure(tcp("empty", 1), .patient(), connector())
    #expect(error?.message.contains("no host named empty") == true)
  }
}
