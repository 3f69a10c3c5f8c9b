import Glibc
import NIOCore
import NIOPosix
import TransportCore
import UnixTransport

/// What an idle connection costs the process that accepted it, and that which dialled: 10,000 of
/// them, held by one listener in a process of its own.
enum IdleConnections {
  static let count = 10_000

  static func run() async throws {
    try raiseDescriptorLimit()
    let path = "/tmp/hawsepipe-bench-\(UInt32.random(in: 0 ... .max)).sock"
    let server = try Child(arguments: ["idle-server", path])
    defer { server.kill() }
    let address = TransportAddress(place: .unix(path: path))
    let connector = UnixConnector()
    // The first ones pay for what is made once.
    var held: [Connection] = []
    for _ in 0..<100 {
      held.append(
        try await connector.connect(
          to: address, options: ConnectOptions(mode: .waitUntilReady())
        ) { _ in })
    }
    let before = try (server: residentBytes(server.pid), client: residentBytes(getpid()))
    held.reserveCapacity(count + 100)
    for _ in 0..<count { held.append(try await connector.connect(to: address) { _ in }) }
    // The last ones are in the backlog when connect(2) returns.
    try await Task.sleep(for: .seconds(1))
    let after = try (server: residentBytes(server.pid), client: residentBytes(getpid()))
    for (side, bytes) in [
      ("accepted", after.server - before.server), ("dialled", after.client - before.client),
    ] {
      let each = Double(bytes) / Double(count)
      print(
        "\(count) idle connections, \(side): \(fixed(each, 0)) bytes each "
          + "(wanted at most 8192: \(each <= 8192 ? "met" : "MISSED"))")
    }
    for connection in held { connection.channel.close(promise: nil) }
  }

  /// What the server process does: takes connections at `path` until it is killed.
  static func serve(at path: String) async throws {
    try raiseDescriptorLimit()
    let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
    try await listener.run { _ in
    } onConnection: { connection in
      // An error is an end, too.
      try? await connection.channel.closeFuture.get()
    }
  }

  private static func raiseDescriptorLimit() throws {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    guard limit.rlim_cur > UInt(count) + 200 else {
      throw Problem(
        "\(count) connections need as many descriptors; ulimit -Hn is \(limit.rlim_cur)")
    }
  }

  private static func residentBytes(_ pid: pid_t) throws -> Int {
    guard let file = fopen("/proc/\(pid)/statm", "r") else { throw Problem("no /proc/\(pid)") }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { throw Problem("cannot read /proc/\(pid)/statm") }
    let fields = String(cString: line).split(separator: " ")
    guard fields.count > 1, let pages = Int(fields[1]) else { throw Problem("odd statm") }
    return pages * Int(getpagesize())
  }
}

struct Problem: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// This program once more, as another process.
struct Child {
  let pid: pid_t

  init(arguments: [String]) throws {
    var pid = pid_t()
    var words: [UnsafeMutablePointer<CChar>?] =
      ([CommandLine.arguments[0]] + arguments).map { strdup($0) }
    words.append(nil)
    defer { for word in words { free(word) } }
    let result = posix_spawn(&pid, "/proc/self/exe", nil, nil, words, environ)
    guard result == 0 else { throw Problem("cannot start a second process: \(result)") }
    self.pid = pid
  }

  func kill() {
    Glibc.kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
  }
}
