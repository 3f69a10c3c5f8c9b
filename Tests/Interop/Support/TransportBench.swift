import Foundation
import Glibc
import ProcessSupervision
import Testing

/// A directory, `hawse`, and programs of others around it, for the commands that dial and listen.
///
/// A test works within ``use(_:)``, behind which everything is killed, and nothing may be left on the
/// host.
final class TransportBench: Sendable {
  let directory: String
  private let processes = Guarded<[HawseProcess]>([])
  private let descriptors = Guarded<[Int32]>([])

  private init(directory: String) { self.directory = directory }

  static func use(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: (TransportBench) async throws -> Void
  ) async throws {
    var template = Array("/tmp/hb-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let bench = TransportBench(
      directory: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
    do {
      try await body(bench)
    } catch {
      Issue.record(error, sourceLocation: sourceLocation)
    }
    await bench.tearDown(sourceLocation)
  }

  // MARK: Running

  private func command(_ words: [String], environment: [String]) -> Command {
    let program = words[0] == "hawse" ? HawseFixture.executable : "/usr/bin/\(words[0])"
    return Command(
      program, arguments: Array(words.dropFirst()),
      environment: [
        "PATH=\(HawseFixture.executable.dropLast("/hawse".count)):/usr/bin:/bin",
        "HAWSE_TEST=\(directory)",
      ] + environment,
      directory: directory)
  }

  /// Runs a program, or `hawse`, to its end.
  func run(
    _ words: String..., input: [UInt8] = [], environment: [String] = []
  ) async throws -> HawseResult {
    try await run(words, input: input, environment: environment)
  }

  func run(
    _ words: [String], input: [UInt8] = [], environment: [String] = []
  ) async throws -> HawseResult {
    let output = try await command(words, environment: environment)
      .run(input: input, outputLimit: 64 << 20, timeout: .seconds(60))
    return HawseResult(
      status: output.status, out: String(decoding: output.standardOutput, as: UTF8.self),
      err: String(decoding: output.standardError, as: UTF8.self))
  }

  /// Starts a program, or `hawse`, which is killed at the test's end.
  func start(
    _ words: String..., input: Int32? = nil, environment: [String] = []
  ) throws -> HawseProcess {
    try start(words, input: input, environment: environment)
  }

  func start(
    _ words: [String], input: Int32? = nil, environment: [String] = []
  ) throws -> HawseProcess {
    let process = try HawseProcess(
      command(words, environment: environment),
      files: "\(directory)/process-\(processes.value.count)", input: input)
    processes.update { $0.append(process) }
    return process
  }

  /// `hawse proxy` with JSON on, when it listens.
  ///
  /// - Returns: it, and the address that it bound.
  func proxy(
    _ words: String..., environment: [String] = []
  ) async throws -> (process: HawseProcess, address: String) {
    let process = try start(["hawse", "proxy", "--json"] + words, environment: environment)
    let line = try await self.line(of: process, with: "listening")
    let listening = try JSONDecoder().decode(ProxyLine.self, from: Data(line.utf8))
    return (process, try #require(listening.address))
  }

  /// Waits for a line of a process's output, or of its errors.
  func line(of process: HawseProcess, with text: String) async throws -> String {
    let found = Guarded("")
    try await eventually("\"\(text)\" in \(process.out)\(process.err)") {
      let lines = (process.out + process.err).split(
        separator: "\n", omittingEmptySubsequences: false)
      // The last is not whole yet.
      guard let line = lines.dropLast().first(where: { $0.contains(text) }) else { return false }
      found.set(String(line))
      return true
    }
    return found.value
  }

  // MARK: Peers

  /// socat on a unix socket, once it listens, doing `what` with each connection.
  @discardableResult
  func socat(_ name: String, _ what: String) async throws -> HawseProcess {
    let path = "\(directory)/\(name)"
    let process = try start("socat", "-t", "30", "UNIX-LISTEN:\(path),fork", what)
    try await eventually("socat listens at \(path)") { HostFiles.type(path) == S_IFSOCK }
    return process
  }

  /// `openssl s_server`, which sends back each line reversed.
  ///
  /// - Returns: its port.
  func server(_ options: String...) async throws -> Int {
    let pki = "\(directory)/pki"
    let process = try start(
      ["openssl", "s_server", "-rev", "-accept", "127.0.0.1:0"]
        + ["-cert", "\(pki)/server.pem", "-key", "\(pki)/server.key", "-CAfile", "\(pki)/ca.pem"]
        + options)
    let line = try await self.line(of: process, with: "ACCEPT 127.0.0.1:")
    return try #require(Int(line.split(separator: ":").last ?? ""))
  }

  /// `hawse tls init`.
  func makeCertificates(_ directory: String = "pki") async throws {
    let result = try await run("hawse", "tls", "init", directory)
    try #require(result.code == 0, "\(result)")
  }

  /// For a program's input or output that stays open until the test closes its end: two sockets, as
  /// Swift sees no pipe2.
  func pipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    try #require(socketpair(AF_UNIX, type, 0, &ends) == 0, "errno \(errno)")
    let (read, write) = (ends[0], ends[1])
    descriptors.update { $0 += [read, write] }
    return (read, write)
  }

  /// A TCP socket that takes connections and says nothing.
  func mute() throws -> Int {
    let socket = Glibc.socket(
      AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    try #require(socket >= 0)
    descriptors.update { $0.append(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, size) == 0 && listen(socket, 8) == 0 && getsockname(socket, $0, &size) == 0
      }
    }
    try #require(result, "errno \(errno)")
    return Int(UInt16(bigEndian: address.sin_port))
  }

  func close(_ descriptor: Int32) {
    let isOurs = Guarded(false)
    descriptors.update { list in
      isOurs.set(list.contains(descriptor))
      list.removeAll { $0 == descriptor }
    }
    if isOurs.value { Glibc.close(descriptor) }
  }

  // MARK: Tearing down

  private var leftProcesses: [String] {
    HostFiles.pids.compactMap { pid in
      guard pid != getpid(), ProcessStatus(pid: pid)?.isDead == false,
        ["cmdline", "environ"].contains(where: {
          HostFiles.text("/proc/\(pid)/\($0)").contains(directory)
        })
      else { return nil }
      let words = HostFiles.text("/proc/\(pid)/cmdline").split(separator: "\0")
      return "\(pid) \(words.joined(separator: " "))"
    }
  }

  private func tearDown(_ sourceLocation: SourceLocation) async {
    for process in processes.value {
      // With what it has started.
      process.child.signalGroup(SIGKILL)
      // Only that it is gone matters here.
      _ = try? await within(.seconds(30), "end") { try await process.child.wait() }
    }
    for descriptor in descriptors.value { Glibc.close(descriptor) }
    var left: [String] = []
    // The kernel takes its time with what was killed.
    try? await eventually("nothing is left", within: .seconds(10)) {
      left = leftProcesses
      return left.isEmpty
    }
    #expect(left.isEmpty, sourceLocation: sourceLocation)
    let sockets = HostFiles.lines("/proc/net/unix").filter { $0.contains(directory) }
    #expect(sockets.isEmpty, sourceLocation: sourceLocation)
    _ = try? await Command("/bin/rm", arguments: ["-rf", directory]).run(timeout: .seconds(60))
  }
}

/// What `hawse proxy --json` prints.
struct ProxyLine: Decodable {
  struct Statistics: Decodable, Equatable {
    var bytesFromNear: Int
    var bytesFromFar: Int
    var open: Int
    var total: Int
    var refused: Int
    var failed: Int
    var broken: Int
  }

  var event: String
  var address: String?
  var statistics: Statistics?
  var problems: [String]?

  static func all(_ text: String) throws -> [ProxyLine] {
    try text.split(separator: "\n").map {
      try JSONDecoder().decode(ProxyLine.self, from: Data($0.utf8))
    }
  }
}
