import GRPCTransport
import Glibc
import Hawsepipe
import ProcessSupervision
import RPCCore
import SandboxControl
import TTRPC
import Testing
import TransportCore

/// A `hawse serve` of a fixture, with our shim as its driver, and the way to it.
struct HawseServer {
  let fixture: HawseFixture
  let process: HawseProcess
  let address: String

  static func configuration(_ fixture: HawseFixture) throws -> String {
    let path = "\(fixture.directory)/serve.toml"
    if !HostFiles.exists(path) {
      try write(
        """
        state = "\(fixture.state)"
        root = "\(fixture.root)"
        log-level = "debug"
        [drivers.shim]
        type = "shim"
        binary = "\(HostFiles.ourShim)"
        """, to: path)
    }
    return path
  }

  /// Starts it, and waits until it listens.
  static func start(
    _ fixture: HawseFixture, activation: HawseActivation? = nil, environment: [String] = []
  ) async throws -> HawseServer {
    let server = try spawn(fixture, activation: activation, environment: environment)
    let process = server.process
    try await eventually("it listens") {
      process.out.contains("listening at") || ProcessStatus(pid: process.pid)?.isDead != false
    }
    try #require(process.out.contains("listening at"), "\(process.err)")
    return server
  }

  static func spawn(
    _ fixture: HawseFixture, activation: HawseActivation? = nil, environment: [String] = []
  ) throws -> HawseServer {
    var command = fixture.command([], environment: environment)
    command.arguments = ["serve", "--config", try configuration(fixture)]
    activation?.apply(to: &command)
    let process = try fixture.start(command)
    return HawseServer(
      fixture: fixture, process: process,
      address: "grpc+unix://\(activation?.path ?? "\(fixture.state)/control/grpc.sock")")
  }

  func with<Value: Sendable>(
    _ body: (SandboxControlClient<RPCLine>) async throws -> Value
  ) async throws -> Value {
    let dialers = RPCDialers([GRPCDialer()])
    let line = try await dialers.dial(
      TransportAddress(parsing: address), using: .standard,
      options: ConnectOptions(timeout: .seconds(10)))
    let outcome: Result<Value, any Error>
    do {
      outcome = .success(
        try await body(SandboxControlClient(caller: line, namespace: fixture.namespace)))
    } catch {
      outcome = .failure(error)
    }
    await line.connection.close()
    return try outcome.get()
  }

  func stop() async throws {
    process.signal(SIGTERM)
    let result = try await process.result()
    #expect(result.code == 0, "\(result)")
  }

  static func write(_ text: String, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    try #require(file >= 0)
    defer { close(file) }
    let bytes = Array(text.utf8)
    try #require(Glibc.write(file, bytes, bytes.count) == bytes.count)
  }
}

/// Descriptors that a service manager hands over, and what it says of them.
struct HawseActivation {
  /// Of the first of them, to be reached at.
  var path: String?
  /// This process's; they become 3 and so on.
  var descriptors: [Int32]
  /// How many there are said to be; nil: as many as there are.
  var count: String?
  var names: String?
  /// The process that they are said to be meant for; nil: the one that is started.
  var pid: String?

  /// By way of a shell, since only the process itself knows its number.
  func apply(to command: inout Command) {
    command.environment.append("LISTEN_FDS=\(count ?? "\(descriptors.count)")")
    if let names { command.environment.append("LISTEN_FDNAMES=\(names)") }
    for (index, descriptor) in descriptors.enumerated() {
      command.descriptors[Int32(3 + index)] = descriptor
    }
    command.arguments =
      ["-c", "export LISTEN_PID=\(pid ?? "$$"); exec \"$0\" \"$@\"", command.executable]
      + command.arguments
    command.executable = "/bin/sh"
  }
}

/// A listening or datagram unix socket of the test's own.
final class OwnSocket: Sendable {
  let path: String
  let number: Int32

  /// - Parameter name: a path, or an abstract name behind an at sign.
  init(_ name: String, type: __socket_type = SOCK_STREAM, listens: Bool = true) throws {
    path = name
    number = socket(AF_UNIX, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    try #require(number >= 0, "errno \(errno)")
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var bytes = Array(name.utf8)
    try #require(bytes.count <= MemoryLayout.size(ofValue: address.sun_path))
    if name.hasPrefix("@") { bytes[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, length) }
    }
    try #require(bound == 0, "bind: errno \(errno)")
    if listens, type == SOCK_STREAM { try #require(listen(number, 128) == 0, "errno \(errno)") }
  }

  deinit { Glibc.close(number) }

  /// The next datagram that is there already.
  func receive() -> String? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = recv(number, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    return count < 0 ? nil : String(decoding: bytes.prefix(count), as: UTF8.self)
  }
}
