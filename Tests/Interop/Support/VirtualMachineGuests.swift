import Glibc
import HybridVsockTransport
import NIOCore
import Testing
import TransportCore

/// Two guests that are booted once for a suite: one serves, the other one checks.
struct Guests: Sendable {
  @TaskLocal static var current: Guests?

  let machines: VirtualMachines
  /// Serves: see Services of vsock-guest-peer.
  let server: VirtualMachine
  /// Runs the conformance checks, those of loopback and those against ``server``, and powers off.
  let checker: VirtualMachine
  /// What dialling ``server`` from before there was anything was like.
  let dial: Dial
  /// What ``server`` said when it dialled the host, and who that was.
  let announcement: Heard
  /// How the checker ended.
  let checked: Task<Int32, any Error>

  /// A port that was dialled until it was there.
  struct Dial: Sendable {
    /// Every try that failed, in order.
    var failures: [AttemptFailure]
    var heard: Heard
    var took: Duration
  }

  /// The guests of the suite that runs.
  static func booted() throws -> Guests {
    try #require(current, "the suite has the trait .guests")
  }

  /// Boots both, with the server dialled since before its socket was there: through a socket that
  /// nobody serves, a device without a driver, and a guest where nobody listens yet.
  static func boot(_ machines: VirtualMachines) async throws -> Guests {
    let (server, checker) = (machines.machines[0], machines.machines[1])
    let readiness = try await GuestReadiness(at: server.address(GuestPort.announcement))
    let failures = FailureLog()
    let began = ContinuousClock.now
    async let dialled = hear(
      server.address(GuestPort.late),
      ConnectOptions(
        timeout: .seconds(300), mode: .waitUntilReady(.init(most: .milliseconds(200))),
        observer: failures))
    try await failures.has { $0.errno == ENOENT }
    try StaleSocket.leave(at: server.socket)
    try await failures.has { $0.errno == ECONNREFUSED }
    try await machines.startDevices()
    try await failures.has { $0.errno == EPIPE || $0.errno == ECONNRESET }
    try server.start("serve", "announce", "late")

    let ear = Ear()
    let announcement = try await readiness.connection(within: .seconds(300)) { channel in
      try channel.pipeline.syncOperations.addHandler(EarHandler(ear))
    }
    try await eventually("the guest says that it is ready") { ear.text.utf8.count >= 5 }
    try await announcement.channel.close()
    let heard = try await dialled
    // Not sooner: what a sibling sends to a guest whose driver is not up ends that guest's device in
    // vhost-device-vsock 0.3.0 for good.
    try checker.start("check", "loopback", "sibling:\(server.cid)")
    let checked = Task { try await checker.end(within: .seconds(900)) }
    return Guests(
      machines: machines, server: server, checker: checker,
      dial: Dial(failures: failures.all, heard: heard, took: ContinuousClock.now - began),
      announcement: Heard(text: ear.text, peer: announcement.peer), checked: checked)
  }
}

/// The ports of vsock-guest-peer's Services.
enum GuestPort {
  static let conformance: UInt32 = 1024
  static let greetingConformance: UInt32 = 1025
  static let speakingFirst: UInt32 = 1026
  static let identifying: UInt32 = 1027
  static let hostsAlone: UInt32 = 1028
  static let late: UInt32 = 1029
  static let announcement: UInt32 = 5000
}

extension VirtualMachine {
  /// A port of the guest; to listen at, one of its host's.
  func address(_ port: UInt32) -> TransportAddress {
    TransportAddress(place: .hybridVsock(path: socket, port: port))
  }
}

/// Gives a suite its guests, for all of its tests together.
struct WithGuests: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    try await VirtualMachines.use(
      cids: [Siblings.server, Siblings.client], adding: { try await Siblings.fill($0) }
    ) { machines in
      let guests = try await Guests.boot(machines)
      try await Guests.$current.withValue(guests) { try await function() }
    }
  }
}

extension Trait where Self == WithGuests {
  static var guests: WithGuests { WithGuests() }
}

/// The failed tries of a connect.
private final class FailureLog: ConnectionObserver {
  private let failures = Guarded<[AttemptFailure]>([])

  var all: [AttemptFailure] { failures.value }

  func observe(_ event: ConnectionEvent) {
    guard case .attemptFailed(_, let failure, _) = event.kind else { return }
    failures.update { $0.append(failure) }
  }

  func has(_ condition: (AttemptFailure) -> Bool) async throws {
    try await eventually("a try that fails in another way than \(all)") {
      all.contains(where: condition)
    }
  }
}

private enum StaleSocket {
  /// Leaves a socket's file as a VMM does that was killed.
  static func leave(at path: String) throws {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    try #require(descriptor >= 0, "socket: errno \(errno)")
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) { address in
      address.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(result == 0, "bind: errno \(errno)")
  }
}
