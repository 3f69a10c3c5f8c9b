import CLinux
import Glibc
import Logging
import TCPTransport
import Testing
import TransportCore

@Suite struct TCPListenerTests {
  @Test("A listener tells the address that it is bound to, with what the address said besides")
  func boundAddress() async throws {
    var address = tcp("localhost", plaintext: "no")
    address.rpc = .ttrpc
    let listener = try await listen(address)
    let port = listener.boundAddress.port
    #expect(port != 0)
    #expect(listener.boundAddress.text == "ttrpc+tcp://127.0.0.1:\(port)?plaintext=no")
    listener.close()
    let v6 = try await listen(tcp("::1"))
    #expect(v6.boundAddress.text == "tcp://[::1]:\(v6.boundAddress.port)")
    v6.close()
  }

  @Test("A port is taken by one listener, and free at once when it is closed")
  func taken() async throws {
    let listener = try await listen()
    let address = listener.boundAddress
    let error = await #expect(throws: TransportError.self) { try await listen(address) }
    #expect(error?.code == .listenFailed)
    #expect(error?.message.contains("EADDRINUSE") == true)
    #expect(error?.hint?.contains("another") == true)
    // A connection that this side closed lingers.
    try await withEchoServer(listener) { try await exchange(address) }
    try await eventually("the port is free") { () async throws -> Bool in
      guard let again = try? await listen(address) else { return false }
      again.close()
      return true
    }
  }

  @Test("What cannot be listened at says why")
  func cannot() async {
    for (address, word) in [
      (tcp("192.0.2.1", plaintext: "yes"), "EADDRNOTAVAIL"),
      (tcp("fe80::1%no-such", plaintext: "yes"), "no network interface no-such"),
      (tcp("127.0.0.1", plaintext: "true"), "plaintext"),
      (TransportAddress(place: .unix(path: "/x")), "not a TCP address"),
    ] {
      let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let error = await #expect(throws: TransportError.self) {
        try await listen(address, ListenOptions(logger: quiet))
      }
      #expect(error?.code == .listenFailed)
      #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }
  }

  // MARK: Plaintext

  @Test("Nothing but loopback is bound in plaintext unless it is allowed")
  func plaintextRefused() async {
    for host in ["0.0.0.0", "::"] {
      let error = await #expect(throws: TransportError.self) { try await listen(tcp(host)) }
      #expect(error?.code == .listenFailed)
      #expect(error?.message.contains("open to the network") == true)
      #expect(error?.hint?.contains("plaintext=yes") == true)
    }
  }

  @Test("Who allows it is warned, unless a layer secures it", arguments: [0, 1, 2, 3])
  func plaintextAllowed(kind: Int) async throws {
    let log = Log()
    var options = ListenOptions(logger: log.logger)
    if kind == 1 { options.plaintext = .anywhere }
    if kind >= 2 { options.plaintext = .secured }
    let parameter = kind == 0 || kind == 3 ? "yes" : nil
    let listener = try await listen(tcp("0.0.0.0", plaintext: parameter), options)
    listener.close()
    #expect(log.warnings.count == (kind < 2 ? 1 : 0), "\(log.warnings)")
    #expect(log.warnings.allSatisfy { $0.contains("in plaintext") })
  }

  @Test("Loopback needs no leave and no warning")
  func loopback() async throws {
    let log = Log()
    let listener = try await listen(
      tcp("127.0.0.1", plaintext: "yes"), ListenOptions(logger: log.logger, plaintext: .anywhere))
    listener.close()
    #expect(log.warnings.isEmpty)
  }

  // MARK: Inherited descriptors

  private func listening(_ host: String) throws -> CInt {
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    let made = socket(AF_INET, kind, 0)
    let literal = try #require(try InternetAddress.parse(host))
    #expect(literal.withSocketAddress(port: 0) { bind(made, $0, $1) } == 0)
    #expect(clinux_listen(made, 8) == 0)
    return made
  }

  @Test("A socket that listens, also a blocking one, is adopted with its address")
  func adopted() async throws {
    let listener = try TCPListenerFactory().listen(adopting: try listening("127.0.0.1"))
    let address = listener.boundAddress
    #expect(address.port != 0)
    try await withEchoServer(listener) { try await exchange(address) }
    #expect(listener.statistics.accepted == 1)
  }

  @Test("One that is open to the network is adopted only when that is allowed")
  func adoptedPlaintext() throws {
    let open = try listening("0.0.0.0")
    let error = #expect(throws: TransportError.self) {
      try TCPListenerFactory().listen(adopting: open)
    }
    #expect(error?.message.contains("open to the network") == true)
    let secured = try TCPListenerFactory().listen(
      adopting: try listening("0.0.0.0"), options: ListenOptions(plaintext: .secured))
    secured.close()
  }

  @Test("What is no listening TCP socket is not adopted")
  func notAdopted() {
    for kind in 0..<3 {
      let descriptor: CInt
      switch kind {
      case 0: descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
      case 1: descriptor = clinux_unix_socket()
      default: descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      }
      let error = #expect(throws: TransportError.self) {
        try TCPListenerFactory().listen(adopting: descriptor)
      }
      #expect(error?.message.contains("not a listening TCP socket") == true)
    }
  }
}

@Suite struct TCPExhaustionTests {
  // In a process of its own, since the limit is the whole process's.
  @Test(
    "Without descriptors a connect is transient, and a listener serves again when there are some")
  func exhaustion() async {
    await #expect(processExitsWith: .success) {
      let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let listener = try await listen(tcp("127.0.0.1"), ListenOptions(logger: quiet))
      let address = listener.boundAddress
      try await withEchoServer(listener) {
        try await exchange(address)
        var limit = rlimit(rlim_cur: 64, rlim_max: 1024)
        #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        var hoard: [CInt] = []
        while case let null = open("/dev/null", O_RDONLY | O_CLOEXEC), null >= 0 {
          hoard.append(null)
        }
        let error = await failure(address)
        #expect(error?.attempts.first?.failure.errno == EMFILE)
        #expect(error?.attempts.first?.failure.outlook == .transient)
        // One for the dialling side, none for the accepting one.
        close(hoard.removeLast())
        let waiting = Task { try await exchange(address) }
        try await eventually("accepting fails") { listener.statistics.acceptErrors > 0 }
        for descriptor in hoard { close(descriptor) }
        _ = try await waiting.value
      }
      #expect((1...100).contains(listener.statistics.acceptErrors))
    }
  }
}
