import Glibc
import NIOCore
import ProcessSupervision
import TCPTransport
import Testing
import TransportCore

/// An sshd of a test's own: on the loopback network, with its own configuration and keys, and no PAM.
struct SSHServer: Sendable {
  /// Keys, configuration and log; whatever the test puts there, too.
  let directory: String
  let host: String
  let port: UInt16
  private let daemon: ChildProcess

  /// Runs a test's body. Behind it nothing may be left: no session, no client, no remote command.
  static func use(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: (SSHServer) async throws -> Void
  ) async throws {
    var template = Array("/tmp/hawsepipe-ssh-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let directory = String(decoding: template.dropLast().map { UInt8($0) }, as: UTF8.self)
    defer {
      for path in HostFiles.tree(directory) { unlink(path) }
      rmdir(directory)
    }
    // sshd separates its privileges there, and Debian makes it when the service starts.
    let isOwn = mkdir("/run/sshd", 0o755) == 0
    defer { if isOwn { rmdir("/run/sshd") } }

    for name in ["host", "key", "other"] {
      try await tool(
        "/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory + "/" + name)
    }
    let server = try await start(in: directory)
    do {
      try await body(server)
      try await eventually("all sessions, clients and remote commands end") {
        server.leftovers.isEmpty
      }
    } catch {
      Issue.record(
        error, "\(server.leftovers)\n\(HostFiles.text(directory + "/log"))",
        sourceLocation: sourceLocation)
    }
    for pid in server.leftovers { kill(pid, SIGKILL) }
    server.daemon.signal(SIGKILL)
    _ = try await server.daemon.wait()
  }

  private static func start(in directory: String) async throws -> SSHServer {
    let user = HostFiles.text(directory + "/key.pub")
    try write(user, to: directory + "/authorized")
    var failure: (any Error)?
    for _ in 0..<5 {
      // The loopback network is large, and so nobody else's.
      let host = "127.\(UInt8.random(in: 1...254)).\(UInt8.random(in: 0 ... .max)).1"
      let port = UInt16.random(in: 20_000..<30_000)
      let key = HostFiles.text(directory + "/host.pub").split(separator: " ").prefix(2)
      try write(
        "[\(host)]:\(port) \(key.joined(separator: " "))\n", to: directory + "/known")
      try write(
        "[\(host)]:\(port) \(user.split(separator: " ").prefix(2).joined(separator: " "))\n",
        to: directory + "/mistaken")
      try write(configuration(directory, host, port), to: directory + "/config")
      let log = open(directory + "/log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
      try #require(log >= 0)
      defer { close(log) }
      let daemon = try Command(
        "/usr/sbin/sshd", arguments: ["-D", "-e", "-f", directory + "/config"],
        descriptors: [2: log]
      ).spawn()
      do {
        let options = ConnectOptions(timeout: .seconds(30), mode: .waitUntilReady())
        try await TCPConnector().connect(
          to: TransportAddress(place: .tcp(host: host, port: port)), options: options
        ) { _ in }.channel.close()
        return SSHServer(directory: directory, host: host, port: port, daemon: daemon)
      } catch {
        daemon.signal(SIGKILL)
        _ = try await daemon.wait()
        failure = error
      }
    }
    throw failure ?? NeverHappened(what: "sshd's start")
  }

  private static func configuration(
    _ directory: String, _ host: String, _ port: UInt16
  ) -> String {
    """
    ListenAddress \(host)
    Port \(port)
    HostKey \(directory)/host
    PidFile none
    UsePAM no
    StrictModes no
    AuthorizedKeysFile \(directory)/authorized
    PermitRootLogin prohibit-password
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    PrintMotd no
    SetEnv HAWSE_TEST=\(directory)

    """
  }

  /// What runs `words` through this server; `changed` are options that take the place of the test's own.
  func address(_ words: [String], options changed: [String] = []) -> TransportAddress {
    let own = [
      "BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes",
      "GlobalKnownHostsFile=/dev/null", "UserKnownHostsFile=\(directory)/known",
      "IdentityFile=\(directory)/key", "Port=\(port)",
    ].filter { option in
      // Of some, ssh takes all that it is given.
      !changed.contains { $0.prefix { $0 != "=" } == option.prefix { $0 != "=" } }
    }
    let all =
      ["ssh", "-T", "-F", "/dev/null"]
      + (changed + own).flatMap { ["-o", $0] } + [host] + words
    return TransportAddress(place: .exec, parameters: all.map { .init("arg", $0) })
  }

  /// Sessions of the daemon, clients of this process (also those that nobody has collected), and
  /// remote commands.
  private var leftovers: [Int32] {
    HostFiles.pids.filter { pid in
      let stat = HostFiles.text("/proc/\(pid)/stat")
      guard let end = stat.lastIndex(of: ")"), let begin = stat.firstIndex(of: "(") else {
        return false
      }
      let name = stat[stat.index(after: begin)..<end]
      let fields = stat[end...].split(separator: " ")
      let parent = fields.count > 2 ? Int32(fields[2]) : nil
      return parent == daemon.pid || parent == getpid() && name == "ssh"
        || HostFiles.text("/proc/\(pid)/environ").contains("HAWSE_TEST=" + directory)
    }
  }

  private static func tool(_ path: String, _ arguments: String...) async throws {
    let run = try await Command(path, arguments: arguments).run(timeout: .seconds(60))
    let errors = String(decoding: run.standardError, as: UTF8.self)
    try #require(run.status.isSuccess, "\(path): \(errors)")
  }

  private static func write(_ text: String, to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    defer { close(file) }
    let bytes = Array(text.utf8)
    try #require(Glibc.write(file, bytes, bytes.count) == bytes.count, "\(path): errno \(errno)")
  }
}
