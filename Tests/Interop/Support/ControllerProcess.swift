import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// `hawse serve` beside a containerd, which finds it as its sandbox controller.
final class ControllerProcess: Sendable {
  let directory: String
  private let child = Guarded<ChildProcess?>(nil)

  /// As containerd's configuration names it.
  var socket: String { "\(directory)/h/serve.sock" }
  var state: String { "\(directory)/h/state" }
  var log: String { HostFiles.text("\(directory)/serve.log") }
  var pid: Int32? { child.value?.pid }

  /// - Parameter drivers: TOML; nil: our shim, for every runtime.
  init(of containerd: ContainerdFixture, drivers: String? = nil) throws {
    directory = containerd.directory
    try #require(mkdir("\(directory)/h", 0o700) == 0, "errno \(errno)")
    let text = """
      state = "\(state)"
      root = "\(directory)/h/root"
      address = "grpc+unix://\(socket)"
      log-level = "debug"
      [events]
      containerd = "\(containerd.socket).ttrpc"
      \(drivers ?? """
        [drivers.shim]
        type = "shim"
        binary = "\(HostFiles.ourShim)"
        """)

      """
    try OwnedDescriptor(opening: "\(directory)/serve.toml", O_WRONLY | O_CREAT, mode: 0o600)
      .write(Array(text.utf8))
  }

  /// Starts it, and waits until it listens.
  func start() async throws {
    let log = try OwnedDescriptor(
      opening: "\(directory)/serve.log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
    let before = HostFiles.lines("\(directory)/serve.log").filter { $0.contains("listening at") }
    child.set(
      try Command(
        HostFiles.product("hawse"), arguments: ["serve", "--config", "\(directory)/serve.toml"],
        environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], grouping: .newSession,
        descriptors: [1: log.number, 2: log.number]
      ).spawn())
    try await eventually("hawse serve listens") {
      guard let pid, ProcessStatus(pid: pid)?.isDead == false else {
        throw NeverHappened(what: "hawse serve that goes on: \(self.log)")
      }
      let now = HostFiles.lines("\(directory)/serve.log").filter { $0.contains("listening at") }
      return now.count > before.count
    }
  }

  /// Ends it as systemd would: what runs goes on.
  func stop() async throws {
    let child = try #require(child.value)
    child.signal(SIGTERM)
    let status = try await within(.seconds(60), "the end of hawse serve") { try await child.wait() }
    #expect(status == .exited(0), "\(log.suffix(4000))")
    self.child.set(nil)
  }

  func kill() async throws {
    let child = try #require(child.value)
    child.signal(SIGKILL)
    _ = try await child.wait()
    self.child.set(nil)
  }
}
