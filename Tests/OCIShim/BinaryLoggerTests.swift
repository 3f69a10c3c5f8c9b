import CLinux
import ContainerdAPI
import Glibc
import LinuxSystem
import Testing

@testable import OCIShim

@Suite("Binary loggers", .timeLimit(.minutes(2)))
struct BinaryLoggerTests {
  @Test(
    "an address names a program, its arguments, and how it says ready",
    arguments: [
      ("binary:///bin/l", "/bin/l", [], false),
      ("binary-v2:///bin/l?a=1&b=2", "/bin/l", ["a", "1", "b", "2"], true),
      ("binary:///bin/l?b=2&a=1&b=3", "/bin/l", ["b", "2", "a", "1"], false),
      ("binary:///bin/l?flag&x=", "/bin/l", ["flag", "", "x", ""], false),
      ("binary:///a%20b?k=c+d%2B&%C3%A4=%3d#f?x=1", "/a b", ["k", "c d+", "ä", "="], false),
    ] as [(String, String, [String], Bool)])
  func address(text: String, program: String, arguments: [String], saysReady: Bool) throws {
    let uri = try LoggerURI(text)
    #expect(uri.program == program && uri.arguments == arguments && uri.saysReady == saysReady)
  }

  @Test(
    "what names no program is refused",
    arguments: [
      "binary://", "binary://bin/l", "binary:///a%0", "binary:///a%zz", "binary:///a%+1",
      "binary:///a%00b", "binary:///a?x=%00", "binary-v2://host/bin", "binary:///%FF",
    ])
  func refused(text: String) {
    let error = #expect(throws: OCIShimError.self) { try StdioTarget(text) }
    #expect(error?.code == .invalidOptions)
  }

  /// A logger that is a shell script in a directory of its own, which is its first argument.
  private func logger(
    _ body: String, _ directory: TemporaryDirectory, version: String = "binary-v2",
    limits: BinaryLogger.Limits = .init()
  ) throws -> BinaryLogger {
    try directory.write("logger", "#!/bin/sh\n\(body)\n", mode: 0o755)
    let uri = try LoggerURI("\(version)://\(directory.path)/logger?dir=\(directory.path)")
    return try BinaryLogger(uri, id: "c1", namespace: "ns", limits: limits)
  }

  private func write(_ text: String, _ number: Int32, _ logger: BinaryLogger) throws {
    let writer = try OwnedDescriptor(
      duplicating: try #require(logger.writers[number]).number)
    try writer.write(Array(text.utf8))
  }

  @Test(
    "it has both outputs, its arguments and two variables, and nothing else",
    arguments: [("binary-v2", "printf r >&5; exec 5>&-"), ("binary", "exec 5>&-")])
  func whole(version: String, ready: String) async throws {
    let directory = try TemporaryDirectory()
    let logger = try logger(
      """
      /usr/bin/env | /bin/sort > $2/env; ls /proc/self/fd | tr '\\n' ' ' > $2/fds
      echo "$#" "$1" > $2/args
      \(ready)
      cat <&4 > $2/err & cat <&3 > $2/out; wait; echo done >> $2/out
      """, directory, version: version)
    try await logger.start()
    #expect(logger.process != nil)
    try write("to out", 1, logger)
    try write("to err", 2, logger)
    await logger.end()
    #expect(logger.process?.startTime == nil, "it is reaped")
    #expect(directory.read("out") == "to outdone\n" && directory.read("err") == "to err")
    #expect(directory.read("args") == "2 dir\n")
    let variables = (directory.read("env") ?? "").split(separator: "\n").filter {
      // The shell's own.
      !["PWD=", "_=", "SHLVL=", "OLDPWD="].contains(where: $0.hasPrefix)
    }
    #expect(variables == ["CONTAINER_ID=c1", "CONTAINER_NAMESPACE=ns"])
    // ls has one more for the directory.
    #expect((directory.read("fds") ?? "").hasPrefix("0 1 2 3 4 5 "))
  }

  @Test(
    "one that does not get ready is an error that names it, and does not go on",
    arguments: [
      ("exit 3", "binary-v2", "did not say ready"),
      ("exec 5>&-; sleep 1000", "binary-v2", "did not say ready"),
      ("sleep 1000", "binary-v2", "was not ready within"),
      ("sleep 1000", "binary", "was not ready within"),
    ])
  func notReady(body: String, version: String, words: String) async throws {
    let directory = try TemporaryDirectory()
    let logger = try logger(
      "echo $$ > $2/pid; \(body)", directory, version: version,
      limits: .init(ready: .seconds(1)))
    let error = await #expect(throws: OCIShimError.self) { try await logger.start() }
    #expect(error?.code == .loggerFailed)
    #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("\(directory.path)/logger") == true)
    let pid = try #require(Int32(directory.read("pid")?.dropLast() ?? ""))
    #expect(kill(pid, 0) != 0)
  }

  @Test("a program that is not there is an error that names it")
  func missing() async throws {
    let logger = try BinaryLogger(LoggerURI("binary:///not/there"), id: "c", namespace: "n")
    let error = await #expect(throws: OCIShimError.self) { try await logger.start() }
    #expect(error?.code == .loggerFailed && error?.description.contains("/not/there") == true)
  }

  @Test(
    "one that goes on without input is told to end, and then killed",
    arguments: [
      ("trap 'echo told > $2/told; exit' TERM", "told\n"), ("trap '' TERM", nil),
    ] as [(String, String?)])
  func stubborn(trap: String, told: String?) async throws {
    let directory = try TemporaryDirectory()
    let logger = try logger(
      "\(trap); printf r >&5; while :; do sleep 0.05; done", directory,
      limits: .init(ownEnd: .milliseconds(100), terminated: .seconds(told == nil ? 1 : 60)))
    try await logger.start()
    await logger.end()
    #expect(logger.process?.startTime == nil)
    #expect(directory.read("told") == told)
  }

  @Test("a task's output goes to its logger, and its end is the logger's")
  func task() async throws {
    try await TaskFixture.with { fixture in
      let directory = try TemporaryDirectory()
      try directory.write(
        "logger", "#!/bin/sh\nexec 5>&-; cat <&3 > $2/out; echo $CONTAINER_ID >> $2/out\n",
        mode: 0o755)
      let uri = "binary://\(directory.path)/logger?dir=\(directory.path)"
      let pid = try await fixture.create { $0.stdout = uri }
      let record = try #require(try Journal(bundle: fixture.bundle.path).read())
      #expect(record.loggers[""]?.startTime != nil)
      _ = try await fixture.start()
      fixture.exits.end(pid)
      _ = try await fixture.wait()
      _ = try await fixture.delete()
      #expect(directory.read("out") == "a\n")
    }
  }

  @Test("a terminal's output goes to a logger, with the terminal's end as its end of input")
  func terminal() async throws {
    let directory = try TemporaryDirectory()
    let logger = try logger("printf r >&5; exec 5>&-; cat <&3 > $2/out", directory)
    let io = try TerminalIO(
      stdin: .null, stdout: .logger(LoggerURI("binary:///none")), bundle: directory.path,
      logger: logger)
    try await io.prepare()
    var controller: Int32 = -1
    var terminal: Int32 = -1
    try #require(clinux_terminal_open_pair(&controller, &terminal) == 0)
    let ours = OwnedDescriptor(owning: terminal)
    let path = try #require(io.consoleSocket)
    try StreamsTests.handOver(OwnedDescriptor(owning: controller), to: path)
    try await io.started()
    try ours.write(Array("words".utf8))
    try ours.close()
    await io.drain()
    io.ended()
    io.close()
    #expect(directory.read("out") == "words")
    #expect(logger.process?.startTime == nil)
  }

  @Test("a logger that fails fails the create, and nothing is run")
  func failedTask() async throws {
    try await TaskFixture.with { fixture in
      await #expect(throws: (any Error).self) {
        try await fixture.create { $0.stdout = "binary-v2:///bin/true" }
      }
      #expect(!fixture.fake.calls.contains { $0.contains(" create ") })
      #expect(fixture.sink.lines == [])
      _ = try await fixture.create()
    }
  }
}
