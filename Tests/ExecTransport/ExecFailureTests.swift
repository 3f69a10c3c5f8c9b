import ExecTransport
import Glibc
import NIOCore
import Testing
import TransportCore

@Suite struct ExecFailureTests {
  /// The error that a command's connection brought first, behind its bytes.
  private func error(
    of command: CommandConnection, after bytes: String = "",
    at location: SourceLocation = #_sourceLocation
  ) async -> (code: TransportError.Code?, message: String) {
    let (text, rest) = await command.all()
    #expect(text == bytes, sourceLocation: location)
    guard case .error(let code, let message)? = rest.first else { return (nil, "\(rest)") }
    return (code, message)
  }

  @Test("What a command said as it failed is the connection's error", arguments: [true, false])
  func failure(halfClosure: Bool) async throws {
    let command = try await CommandConnection.open(
      "sh", "-c", "echo 'ssh: no such host' >&2; exit 255", halfClosure: halfClosure)
    let (code, message) = await error(of: command)
    #expect(code == .connectFailed)
    #expect(message.contains("sh (pid \(command.pid)) exited with code 255: ssh: no such host"))
    // The channel may be closed already.
    try? await command.close()
  }

  @Test("Bytes before a failure arrive before the error, which says that there was a connection")
  func lost() async throws {
    let command = try await CommandConnection.open("sh", "-c", "echo some; exit 3")
    let (code, message) = await error(of: command, after: "some\n")
    #expect(code == .connectionLost)
    #expect(message.hasSuffix("exited with code 3"))
    try await command.close()
  }

  @Test("A failure behind the output's close is told, too")
  func behindHalfClose() async throws {
    let command = try await CommandConnection.open(
      "sh", "-c", "cat >/dev/null; echo gone >&2; exit 4")
    try await command.channel.close(mode: .output)
    let (code, message) = await error(of: command)
    #expect(code == .connectFailed)
    #expect(message.hasSuffix("exited with code 4: gone"))
  }

  @Test("Writing to a command that is dead does not hide why it died", arguments: 0..<20)
  func writing(round: Int) async throws {
    let command = try await CommandConnection.open("sh", "-c", "echo no >&2; exit 1")
    for _ in 0..<2 { command.channel.writeAndFlush(ByteBuffer(string: "hello"), promise: nil) }
    let (code, _) = await error(of: command)
    #expect(code == .connectFailed)
    try? await command.close()
  }

  @Test("A signal is a failure")
  func signalled() async throws {
    let command = try await CommandConnection.open("sh", "-c", "kill -9 $$")
    let (_, message) = await error(of: command)
    #expect(message.hasSuffix("was killed by signal 9"))
    try? await command.close()
  }

  @Test("Errors are kept by their end, in 4 KiB, without control characters")
  func longErrors() async throws {
    let command = try await CommandConnection.open(
      "sh", "-c",
      "yes 'a line of noise' | head -c 1000000 >&2; printf 'the \\033[31mend' >&2; exit 1")
    let (_, message) = await error(of: command)
    #expect(message.hasSuffix("the [31mend"))
    #expect((4000...6000).contains(message.utf8.count))
    try? await command.close()
  }

  @Test("What a command leaves behind with its errors open does not keep the error back")
  func errorsHeld() async throws {
    let command = try await CommandConnection.open(
      "sh", "-c", "sleep 1000 >/dev/null & echo $!; echo why >&2; exit 1")
    let (text, rest) = await command.all()
    if let left = Int32(text.filter(\.isNumber)) { kill(left, SIGKILL) }
    guard case .error(_, let message)? = rest.first else {
      Issue.record("no error: \(rest)")
      return
    }
    #expect(message.hasSuffix("exited with code 1: why"))
    try? await command.close()
  }

  struct Bad: Sendable, CustomTestStringConvertible {
    var words: [String]
    var environment: [String] = []
    var says: String
    var testDescription: String { "\(words) \(environment)" }
  }

  @Test(
    "A command that cannot be run is a final failure that says why",
    arguments: [
      Bad(words: ["hawsepipe-no-such-program"], says: "there is no program"),
      Bad(words: ["/no/such/program"], says: "there is no such file"),
      Bad(words: ["/etc/passwd"], says: "not a file that may be executed"),
      Bad(words: ["/etc"], says: "not a file that may be executed"),
      Bad(words: [""], says: "there is no command"),
      Bad(words: [], says: "there is no command"),
      Bad(words: ["cat"], environment: ["SECRET"], says: "not NAME=value"),
      Bad(words: ["cat"], environment: ["=x"], says: "not NAME=value"),
      Bad(words: ["cat", "a\0b"], says: "NUL"),
    ])
  func cannotRun(_ bad: Bad) async throws {
    let error = await #expect(throws: TransportError.self) {
      _ = try await ExecConnector().connect(
        to: address(bad.words, environment: bad.environment),
        options: .patient(mode: .waitUntilReady())
      ) { _ in }
    }
    #expect(error?.code == .connectFailed)
    #expect(error?.attempts.first?.failure.outlook == .fatal)
    #expect(error?.attempts.first?.failure.message.contains(bad.says) == true)
  }

  @Test("A command that fails while it settles is a failed try, which is made again")
  func settling() async throws {
    let error = await #expect(throws: TransportError.self) {
      _ = try await CommandConnection.open(
        "sh", "-c", "echo no >&2; exit 7", options: ExecOptions(settle: .seconds(60)))
    }
    #expect(error?.attempts.first?.failure.message == "the command sh exited with code 7: no")
    #expect(error?.attempts.first?.failure.outlook == .notReady)

    var template = Array("/tmp/hawsepipe-exec-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    close(descriptor)
    let file = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { unlink(file) }
    // One that ends well has settled, too.
    let command = try await CommandConnection.open(
      "sh", "-c", "echo . >> \(file); test $(wc -l < \(file)) -ge 3 && echo ready",
      options: ExecOptions(settle: .seconds(60)),
      mode: .waitUntilReady(.init(first: .milliseconds(1))))
    #expect(await command.read(6) == "ready\n")
    try await command.close()
  }
}
