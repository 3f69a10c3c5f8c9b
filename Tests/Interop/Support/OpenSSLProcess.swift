import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// An `openssl s_server` or `s_client`, or another program that speaks TLS, in the background. What
/// it prints goes to files; its standard input is a pipe that the test writes to.
final class OpenSSLProcess: Sendable {
  static let executable = "/usr/bin/openssl"

  let child: ChildProcess
  private let files: String
  private let input: Guarded<Int32>

  var out: String { HostFiles.text("\(files).out") }
  /// All that it printed.
  var text: String { out + HostFiles.text("\(files).err") }

  /// Starts a program, runs `body` and ends the program.
  static func run<Value>(
    _ executable: String = executable, arguments: [String],
    _ body: (OpenSSLProcess) async throws -> Value
  ) async throws -> Value {
    let process = try OpenSSLProcess(executable, arguments)
    do {
      let value = try await body(process)
      try await process.kill()
      return value
    } catch {
      Issue.record("\(executable) \(arguments.joined(separator: " ")) printed:\n\(process.text)")
      try await process.kill()
      throw error
    }
  }

  private init(_ executable: String, _ arguments: [String]) throws {
    let directory = try #require(OpenSSLFixture.current).directory
    files = "\(directory)/\(OpenSSLFixture.unique("process"))"
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_APPEND
    let output = try OwnedDescriptor(opening: "\(files).out", flags, mode: 0o600)
    let error = try OwnedDescriptor(opening: "\(files).err", flags, mode: 0o600)
    let pipe = try LinuxSystem.Pipe()
    child = try Command(
      executable, arguments: arguments, environment: ["PATH=/usr/bin:/bin"], directory: directory,
      descriptors: [0: pipe.reading.number, 1: output.number, 2: error.number]
    ).spawn()
    input = Guarded(pipe.takeWriting().release())
  }

  // MARK: Talking to it

  /// Writes to its standard input, on a thread of its own: the pipe may be full.
  func type(_ text: String) async throws {
    let number = input.value
    let bytes = Array(text.utf8)
    let problem = Guarded<Int32?>(nil)
    try startThread("typing") {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(number, $0.baseAddress, $0.count) }
        guard count > 0 else { return problem.set(errno) }
        rest = rest.dropFirst(count)
      }
      problem.set(0)
    }
    try await eventually("all typed", within: .seconds(120)) { problem.value != nil }
    guard problem.value == 0 else { throw SystemError("write", errno: problem.value ?? 0) }
  }

  /// Ends its standard input.
  func endInput() {
    input.update {
      if $0 >= 0 { close($0) }
      $0 = -1
    }
  }

  /// Waits until it has printed a text.
  func prints(_ what: String) async throws {
    let looked = Guarded(-1)
    try await eventually("\"\(what.prefix(40))\" printed", within: .seconds(120)) {
      let printed = text
      // Looking through much takes its time, and is worth it only when there is something new.
      guard printed.utf8.count != looked.value else { return false }
      looked.set(printed.utf8.count)
      return printed.contains(what)
    }
  }

  /// Waits for its end, which comes by itself.
  @discardableResult
  func end() async throws -> ProcessSupervision.ExitStatus {
    let child = child
    return try await within(.seconds(120), "the end of a program") { try await child.wait() }
  }

  /// Kills it, if it still runs, and waits until it is gone.
  func kill() async throws {
    child.signal(SIGKILL)
    try await end()
    // Not before: the end of its input would let it say goodbye.
    endInput()
  }

  /// The port that it printed behind a word, once it has.
  func port(after word: String = "ACCEPT 127.0.0.1:") async throws -> Int {
    let found = Guarded<Int?>(nil)
    try await eventually("\(word) printed", within: .seconds(120)) {
      guard child.isAlive else { throw OpenSSLAuthority.Failure(description: "it ended:\n\(text)") }
      let line = text.split(separator: "\n").first { $0.contains(word) }
      let digits = line?.split(separator: ":").last?.prefix { $0.isNumber }
      found.set(digits.flatMap { Int($0) })
      return found.value != nil
    }
    return try #require(found.value)
  }
}

extension ChildProcess {
  fileprivate var isAlive: Bool { ProcessStatus(pid: pid)?.isDead == false }
}

extension HostFiles {
  /// Writes a file in one step.
  static func write(_ path: String, _ text: String, mode: mode_t = 0o600) throws {
    let temporary = "\(path).new"
    do {
      let file = try OwnedDescriptor(opening: temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
      try file.write(Array(text.utf8))
    }
    guard rename(temporary, path) == 0 else { throw SystemError("rename", errno: errno) }
  }
}
