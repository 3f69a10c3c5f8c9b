import Glibc
import SandboxControl
import Testing

/// `hawse serve` as systemd starts, watches and restarts it: the sockets are handed over, and what it
/// says of itself goes to a socket of the test's own.
@Suite("hawse serve under a service manager")
struct HawseServeSystemdTests {
  /// What arrived at a notify socket so far.
  private final class Notices: Sendable {
    let socket: OwnSocket
    private let got = Guarded<[String]>([])

    init(_ name: String) throws { socket = try OwnSocket(name, type: SOCK_DGRAM) }

    var all: [String] {
      while let text = socket.receive() { got.update { $0.append(text) } }
      return got.value
    }

    func has(_ line: String) -> Bool { count(line) > 0 }

    func count(_ line: String) -> Int {
      all.count { $0.split(separator: "\n").contains(Substring(line)) }
    }
  }

  @Test(
    "it tells that it is ready, alive and stopping, at a path and at an abstract name",
    arguments: [false, true])
  func notify(isAbstract: Bool) async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let name = isAbstract ? "@\(fixture.directory)/notify" : "\(fixture.directory)/notify"
      let notices = try Notices(name)
      let server = try await HawseServer.start(
        fixture, environment: ["NOTIFY_SOCKET=\(name)", "WATCHDOG_USEC=200000"])
      try await eventually("it is ready") { notices.has("READY=1") }
      #expect(notices.has("MAINPID=\(server.process.pid)"))
      // Twice in the time that it has: what comes only once is not told again.
      try await eventually("it is alive") { notices.count("WATCHDOG=1") >= 4 }
      #expect(!notices.has("STOPPING=1"))
      // There is nothing to reload, and nothing ends by it.
      server.process.signal(SIGHUP)
      try await server.stop()
      #expect(notices.has("STOPPING=1"))
      #expect(notices.all.firstIndex { $0.hasPrefix("STOPPING") }! > 0)
    }
  }

  @Test(
    "a watchdog that is meant for another process, off or no number is left alone",
    arguments: [
      ["WATCHDOG_USEC=1000", "WATCHDOG_PID=1"], ["WATCHDOG_USEC=0"], ["WATCHDOG_USEC=soon"], [],
    ])
  func noWatchdog(_ environment: [String]) async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let notices = try Notices("\(fixture.directory)/notify")
      let server = try await HawseServer.start(
        fixture, environment: ["NOTIFY_SOCKET=\(fixture.directory)/notify"] + environment)
      try await eventually("it is ready") { notices.has("READY=1") }
      try await server.stop()
      #expect(!notices.has("WATCHDOG=1"))
    }
  }

  @Test(
    "a notify socket that is not there, or cannot be, keeps nothing from working",
    arguments: ["/nowhere/notify", "notify", "@", "/" + String(repeating: "n", count: 300)])
  func noNotifySocket(_ name: String) async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let server = try await HawseServer.start(fixture, environment: ["NOTIFY_SOCKET=\(name)"])
      _ = try await server.with { try await $0.stop("nobody") }
      try await server.stop()
    }
  }

  @Test("it serves at every socket that is handed over, not at its own, and leaves them")
  func several() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let sockets = [
        try OwnSocket("\(fixture.directory)/a.sock"), try OwnSocket("@\(fixture.directory)/b"),
      ]
      let activation = HawseActivation(
        path: sockets[0].path, descriptors: sockets.map(\.number), names: "control:other")
      let server = try await HawseServer.start(fixture, activation: activation)
      #expect(server.process.out.split(separator: "\n").count == 2)
      #expect(!HostFiles.exists("\(fixture.state)/control/grpc.sock"))
      for address in ["unix://\(sockets[0].path)", "unix://\(sockets[1].path)"] {
        let other = HawseServer(
          fixture: fixture, process: server.process, address: "grpc+\(address)")
        _ = try await other.with { try await $0.stop("nobody") }
      }
      try await server.stop()
      #expect(HostFiles.exists(sockets[0].path))
    }
  }

  @Test("descriptors for another process are left alone, and the configured address is used")
  func notMeant() async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let socket = try OwnSocket("\(fixture.directory)/a.sock")
      let server = try await HawseServer.start(
        fixture, activation: HawseActivation(descriptors: [socket.number], pid: "1"))
      _ = try await server.with { try await $0.stop("nobody") }
      try await server.stop()
    }
  }

  enum Wrong: String, CaseIterable, Sendable {
    case datagrams, notListening, file, missing, count, names, pid
  }

  @Test(
    "what cannot be served at is an error that names it, and it is never ready",
    arguments: Wrong.allCases)
  func wrong(_ wrong: Wrong) async throws {
    try await HawseFixture.use(.hawsepipe) { fixture in
      let notices = try Notices("\(fixture.directory)/notify")
      let good = try OwnSocket("\(fixture.directory)/a.sock")
      var activation = HawseActivation(path: good.path, descriptors: [good.number])
      var other: OwnSocket?
      let essential: String
      switch wrong {
      case .datagrams:
        other = try OwnSocket("\(fixture.directory)/b.sock", type: SOCK_DGRAM)
        essential = "datagram"
      case .notListening:
        other = try OwnSocket("\(fixture.directory)/b.sock", listens: false)
        essential = "fd://4"
      case .file:
        let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        activation.descriptors.append(dup(file))
        essential = "a character device"
      case .missing:
        activation.count = "2"
        essential = "descriptor 4"
      case .count:
        activation.count = "many"
        essential = "LISTEN_FDS"
      case .names:
        activation.names = "a:b"
        essential = "LISTEN_FDNAMES"
      case .pid:
        activation.pid = "me"
        essential = "LISTEN_PID"
      }
      if let other { activation.descriptors.append(other.number) }
      let server = try HawseServer.spawn(
        fixture, activation: activation,
        environment: ["NOTIFY_SOCKET=\(fixture.directory)/notify"])
      let result = try await server.process.result()
      if wrong == .file { close(activation.descriptors[1]) }
      #expect(result.code == 1)
      #expect(result.err.contains(essential), "\(result)")
      #expect(!notices.has("READY=1"))
      #expect(HostFiles.exists(good.path))
      _ = other
    }
  }
}
