import ContainerdAPI
import ContainerdClient
import GRPCTransport
import Glibc
import Hawsepipe
import RPCCore
import SandboxControl
import Testing
import TransportCore

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

  /// Calls that go on until they are told to stop, or one fails.
  private final class Callers: Sendable {
    let control: SandboxControlClient<GRPCRedialingClient>
    let health: Grpc_Health_V1_HealthClient<GRPCRedialingClient>
    private let isDone = Guarded(false)
    let asked = Guarded(0)
    let lived = Guarded(0)
    let failures = Guarded<[String]>([])

    init(_ caller: GRPCRedialingClient, namespace: String) {
      control = SandboxControlClient(caller: caller, namespace: namespace)
      health = Grpc_Health_V1_HealthClient(caller: caller)
    }

    func ask() async {
      while !isDone.value, failures.value.isEmpty {
        do {
          _ = try await health.check(.init(), options: RPCCallOptions(timeout: .seconds(60)))
          asked.update { $0 += 1 }
        } catch {
          failures.update { $0.append("check: \(error)") }
        }
      }
    }

    func live(_ id: String) async {
      while !isDone.value, failures.value.isEmpty {
        do {
          try await control.create(id, runtime: "io.containerd.hawsepipe.v1", timeout: .seconds(60))
          _ = try await control.start(id, timeout: .seconds(60))
          try await control.shutdown(id, timeout: .seconds(60))
          lived.update { $0 += 1 }
        } catch {
          failures.update { $0.append("\(id): \(error)") }
        }
      }
    }

    func stop() { isDone.set(true) }
  }

  @Test("restarted behind a socket that is handed over, it loses no call of anybody")
  func restart() async throws {
    try await HawseFixture.use(.hawsepipe) { try await Self.restart($0) }
  }

  private static func restart(_ fixture: HawseFixture) async throws {
    let ids = ["pod-0", "pod-1"]
    for id in ids { fixture.note(id) }
    let socket = try OwnSocket("\(fixture.directory)/a.sock")
    let activation = HawseActivation(path: socket.path, descriptors: [socket.number])
    var server = try await HawseServer.start(fixture, activation: activation)
    let caller = GRPCRedialingClient(
      to: try TransportAddress(parsing: "grpc+unix://\(socket.path)"), using: .standard,
      configuration: .init(waitsUntilReady: true))
    let callers = Callers(caller, namespace: fixture.namespace)
    let calling = Task {
      await withTaskGroup { group in
        for _ in 0..<4 { group.addTask { await callers.ask() } }
        for id in ids { group.addTask { await callers.live(id) } }
      }
    }
    for _ in 0..<3 {
      let (asked, lived) = (callers.asked.value, callers.lived.value)
      try await eventually("calls are made", within: .seconds(60)) {
        !callers.failures.value.isEmpty
          || callers.asked.value > asked + 100 && callers.lived.value > lived
      }
      try await server.stop()
      server = try await HawseServer.start(fixture, activation: activation)
    }
    callers.stop()
    await calling.value
    #expect(callers.failures.value == [], "\(server.process.err.suffix(4000))")
    await caller.close()
    try await server.stop()
  }
}
