import CLinux
import ContainerdClient
import Glibc
import Testing

/// A pseudo-terminal: what a user's window holds, and what a program sees of it.
private final class PseudoTerminal {
  private(set) var controller: Int32 = -1
  private(set) var terminal: Int32 = -1

  init() throws { try #require(clinux_terminal_open_pair(&controller, &terminal) == 0) }

  deinit {
    close(controller)
    close(terminal)
  }

  func settings() throws -> termios {
    var settings = termios()
    try #require(tcgetattr(terminal, &settings) == 0)
    return settings
  }

  var isRaw: Bool {
    get throws { try settings().c_lflag & tcflag_t(ICANON | ECHO | ISIG) == 0 }
  }
}

private struct Failure: Error {}

@Suite struct TerminalTests {
  @Test("a terminal is raw for the body alone, whether it returns or throws")
  func rawMode() async throws {
    let pair = try PseudoTerminal()
    let terminal = try #require(Terminal(pair.terminal))
    let before = try pair.settings()
    let value = try await terminal.withRawMode {
      let isRaw = try pair.isRaw
      #expect(isRaw)
      return 7
    }
    #expect(value == 7)
    #expect(try !pair.isRaw)
    await #expect(throws: Failure.self) {
      try await terminal.withRawMode { throw Failure() }
    }
    let after = try pair.settings()
    #expect(before.c_lflag == after.c_lflag)
    #expect(before.c_iflag == after.c_iflag)
    #expect(before.c_oflag == after.c_oflag)
    #expect(before.c_cflag == after.c_cflag)
  }

  @Test("a terminal is as it was after a body that was cancelled")
  func rawModeCancelled() async throws {
    let pair = try PseudoTerminal()
    let terminal = try #require(Terminal(pair.terminal))
    let task = Task {
      try await terminal.withRawMode { try await Task.sleep(for: generous) }
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(try !pair.isRaw)
  }

  @Test("the window's size is what was set")
  func size() throws {
    let pair = try PseudoTerminal()
    let terminal = try #require(Terminal(pair.terminal))
    try terminal.setSize(WindowSize(columns: 132, rows: 43))
    #expect(try terminal.size() == WindowSize(columns: 132, rows: 43))
  }

  @Test("what is not a terminal is none")
  func notATerminal() throws {
    let pipe = try TestPipe()
    #expect(Terminal(pipe.reading) == nil)
    #expect(Terminal(-1) == nil)
  }

  @Test("a terminal that was closed is a typed error")
  func closed() throws {
    let pair = try PseudoTerminal()
    let number = fcntl(pair.terminal, F_DUPFD_CLOEXEC, 700)
    let terminal = try #require(Terminal(number))
    close(number)
    let error = #expect(throws: ContainerdClientError.self) { try terminal.size() }
    #expect(error?.code == .terminalUnusable)
  }

  @Test("everybody who listens learns of a change of the window, one after the other")
  func windowChanges() async throws {
    let streams = try (0..<3).map { _ in try Terminal.windowChanges() }
    for _ in 0..<2 {
      kill(getpid(), SIGWINCH)
      for stream in streams {
        var changes = stream.makeAsyncIterator()
        #expect(await changes.next() != nil)
      }
    }
  }

  @Test("a listener ends with its task")
  func windowChangesEnd() async throws {
    let stream = try Terminal.windowChanges()
    let task = Task { for await _ in stream {} }
    task.cancel()
    await task.value
  }

  @Test("a terminal is a source and a sink, and its flags stay as they are")
  func streams() async throws {
    try await withTemporaryDirectory { directory in
      let pair = try PseudoTerminal()
      let terminal = try #require(Terminal(pair.terminal))
      let flags = fcntl(pair.terminal, F_GETFL)
      try await terminal.withRawMode {
        let streams = try StandardStreams(
          StreamPlan(
            input: .descriptor(pair.terminal), output: .descriptor(pair.terminal), terminal: true),
          in: directory, named: "t")
        let process = try ShellProcess(
          "exec < $1 > $2; head -c 3; printf '!'",
          [streams.locations.standardInput, streams.locations.standardOutput])
        try #require(write(pair.controller, "abc", 3) == 3)
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 100)
        while received.count < 4 {
          let count = read(pair.controller, &buffer, buffer.count)
          try #require(count > 0)
          received += buffer[..<count]
        }
        #expect(received == Array("abc!".utf8))
        #expect(try await process.wait() == 0)
        _ = await streams.finish(within: generous)
      }
      #expect(fcntl(pair.terminal, F_GETFL) == flags)
    }
  }
}
