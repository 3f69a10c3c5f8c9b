import Glibc
import Testing
import TransportCore

@testable import TCPTransport

@Suite struct TCPConnectFailureTests {
  @Test("Nobody at the port is not ready yet")
  func refused() async throws {
    let listener = try await listen()
    let address = listener.boundAddress
    listener.close()
    let error = await failure(address)
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.errno == ECONNREFUSED)
    #expect(error?.attempts.first?.failure.outlook == .notReady)
    #expect(error?.message.contains("nobody listens at port \(address.port) of 127.0.0.1") == true)
  }

  @Test("Waiting finds a listener that appears late")
  func late() async throws {
    let first = try await listen()
    let address = first.boundAddress
    first.close()
    let dialling = Task { try await exchange(address, .patient(mode: .waitUntilReady())) }
    try await Task.sleep(for: .milliseconds(50))
    let listener = try await listen(address)
    _ = try await withEchoServer(listener) { try await dialling.value }
  }

  @Test("An address that cannot be dialled is final, and says why")
  func wrongAddress() async {
    let wrong: [(TransportAddress, String)] = [
      (TransportAddress(place: .unix(path: "/x")), "not a TCP address"),
      (tcp("127.0.0.1", 0), "any port"), (tcp("127.0.0.1", 1, plaintext: "true"), "plaintext"),
    ]
    for (address, word) in wrong {
      let error = await failure(address, .patient(mode: .waitUntilReady()))
      #expect(error?.code == .connectFailed)
      #expect(error?.attempts.first?.failure.outlook == .fatal)
      #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }
    let zone = await failure(tcp("fe80::1%no-such", 1))
    #expect(zone?.message.contains("no network interface no-such") == true)
  }

  // MARK: Plaintext

  @Test("Nothing beyond loopback is dialled in plaintext unless it is allowed")
  func plaintextRefused() async throws {
    let abroad = TCPConnector(resolver: resolver(v6: ["2001:db8::1"], v4: ["192.0.2.1"]))
    for (host, connector) in [("192.0.2.1", TCPConnector()), ("abroad", abroad)] {
      let error = await failure(tcp(host, 9443), .patient(mode: .waitUntilReady()), connector)
      let attempt = try #require(error?.attempts.first).failure
      #expect(attempt.outlook == .fatal)
      #expect(attempt.message.contains("beyond this machine"), "\(attempt.message)")
      #expect(attempt.message.contains("192.0.2.1"))
      #expect(attempt.hint?.contains("plaintext=yes") == true)
      #expect(attempt.hint?.contains("tls") == true)
    }
  }

  @Test("Of a name's addresses only those on loopback are dialled")
  func plaintextFiltered() async throws {
    let listener = try await listen()
    let address = tcp("mixed", listener.boundAddress.port)
    let mixed = TCPConnector(
      resolver: resolver(v6: ["2001:db8::1"], v4: ["192.0.2.1", "127.0.0.1"]))
    try await withEchoServer(listener) { try await exchange(address, .patient(), mixed) }
  }

  /// 0.0.0.0 is no loopback address to anybody but the kernel, which dials this machine.
  @Test("The address or the options may allow it")
  func plaintextAllowed() async throws {
    let listener = try await listen()
    let port = listener.boundAddress.port
    let log = Log()
    let connector = TCPConnector(logger: log.logger)
    try await withEchoServer(listener) {
      #expect(await failure(tcp("0.0.0.0", port))?.message.contains("beyond") == true)
      try await exchange(tcp("0.0.0.0", port, plaintext: "yes"), .patient(), connector)
      try await exchange(tcp("0.0.0.0", port), .patient(plaintext: .anywhere), connector)
      try await exchange(tcp("0.0.0.0", port), .patient(plaintext: .secured), connector)
    }
    // The peer that it came to is this machine.
    #expect(log.warnings.isEmpty)
  }

  @Test("A received address may not allow it")
  func received() throws {
    let registry = TransportRegistry([TCPConnector()])
    #expect(throws: Never.self) { try registry.parse("ttrpc+tcp://host:1?plaintext=yes") }
    #expect(throws: TransportError.self) {
      try registry.parse("ttrpc+tcp://host:1?plaintext=yes", origin: .received)
    }
  }

  // MARK: The table

  @Test(
    "An error of connect says what happened, whether to wait, and what to do",
    arguments: [
      (ECONNREFUSED, AttemptFailure.Outlook.notReady, "nobody listens", "start" as String?),
      (ETIMEDOUT, .notReady, "did not answer", "firewall"),
      (ECONNRESET, .notReady, "closed the connection", "starting"),
      (EHOSTUNREACH, .notReady, "cannot be reached", "runs"),
      (ENETUNREACH, .notReady, "no network", "ip route"),
      (EADDRNOTAVAIL, .transient, "no address or port left", "ss -s"),
      (EMFILE, .transient, "no descriptor", "ulimit"), (ENFILE, .transient, "no descriptor", nil),
      (EACCES, .fatal, "does not let", "firewall"), (EPERM, .fatal, "does not let", "firewall"),
      (EAFNOSUPPORT, .fatal, "kind of network", nil), (EINVAL, .fatal, "cannot be", "%eth0"),
      (EPROTO, .fatal, "Protocol error", nil),
    ])
  func words(errno: CInt, outlook: AttemptFailure.Outlook, message: String, hint: String?) {
    let failure = TCPConnectFailure(errno: errno, who: "build-7", port: 80, isLocal: false).failure
    #expect(failure.errno == errno)
    #expect(failure.outlook == outlook)
    #expect(failure.message.contains(message), "\(failure.message)")
    if let hint { #expect(failure.hint?.contains(hint) == true, "\(failure)") }
  }
}
