internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// The terminal of one process: the runtime makes it and hands its end over, and the shim copies
/// between it and the fifos or the file of the request.
final class TerminalIO: ProcessStreams {
  private struct State {
    var terminal: SharedDescriptor?
    var input: StreamPump?
    var output: StreamPump?
    /// The other ends of the fifos: see ``ProcessIO``.
    var stdinWriter: SharedDescriptor?
    var stdoutReader: SharedDescriptor?
  }

  private final class Socket: Sendable {
    let socket: ConsoleSocket
    init(_ socket: consuming ConsoleSocket) { self.socket = socket }
  }

  static let drainLimit = Duration.seconds(10)

  private let stdin: StdioTarget
  private let stdout: StdioTarget
  /// Takes the output in place of a fifo or a file.
  private let binary: BinaryLogger?
  private let path: String
  private let socket: Mutex<Socket?>
  private let state = Mutex(State())

  /// - Parameter bundle: that of the process's container.
  init(
    stdin: StdioTarget, stdout: StdioTarget, bundle: String, logger: BinaryLogger? = nil
  ) throws(OCIShimError) {
    self.stdin = stdin
    self.stdout = stdout
    binary = logger
    do throws(SystemError) {
      let console = try ConsoleSocket(bundle: bundle)
      path = console.path
      socket = Mutex(Socket(console))
    } catch {
      throw OCIShimError(
        code: .system, message: "the socket for a terminal cannot be made", cause: error)
    }
  }

  /// The runtime makes the standard streams out of the terminal.
  var descriptors: [Int32: Int32]? { nil }

  var consoleSocket: String? { path }

  var logger: JournalRecord.Process? { binary?.process }

  func prepare() async throws { try await binary?.start() }

  func spawned() {}

  func started() async throws {
    guard let console = socket.withLock({ $0 }) else { return }
    defer { socket.withLock { $0 = nil } }
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      do throws(SystemError) {
        if let terminal = try console.socket.receive() {
          return try connect(terminal)
        }
      } catch {
        throw OCIShimError(
          code: .runtimeFailed, message: "the runtime handed over no terminal", cause: error)
      }
      guard ContinuousClock.now < deadline else {
        throw OCIShimError(
          code: .runtimeFailed, message: "the runtime handed over no terminal within 30 s")
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  private func connect(_ terminal: consuming OwnedDescriptor) throws(SystemError) {
    try terminal.makeNonBlocking()
    var state = State()
    if let writer = binary?.writers[1] {
      let source = try OwnedDescriptor(duplicating: terminal.number)
      let sink = try OwnedDescriptor(duplicating: writer.number)
      try sink.makeNonBlocking()
      state.output = try StreamPump(from: source, to: sink)
      // The pump's is the last one: with the terminal's end, the logger's input ends.
      binary?.giveUpWriters()
    } else if stdout != .null {
      let source = try OwnedDescriptor(duplicating: terminal.number)
      let ends = try OutputEnds(stdout)
      state.stdoutReader = ends.reader
      state.output = try StreamPump(from: source, to: ends.takeSink())
    }
    if case .path(let path) = stdin {
      let source = try OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
      if try source.status().st_mode & S_IFMT == S_IFIFO {
        state.stdinWriter = SharedDescriptor(
          try OwnedDescriptor(opening: path, O_WRONLY | O_NONBLOCK | O_NOCTTY))
      }
      let sink = try OwnedDescriptor(duplicating: terminal.number)
      state.input = try StreamPump(from: source, to: sink)
    }
    state.terminal = SharedDescriptor(terminal)
    let made = state
    self.state.withLock { $0 = made }
    made.output?.start()
    made.input?.start()
  }

  func closeStdin() { state.withLock { $0.stdinWriter = nil } }

  /// - Throws: `system` when the terminal refuses the size.
  func resize(columns: UInt32, rows: UInt32) throws {
    guard let terminal = state.withLock({ $0.terminal }) else { return }
    let result = clinux_terminal_set_size(
      terminal.number, UInt16(clamping: columns), UInt16(clamping: rows))
    guard result == 0 else {
      throw OCIShimError(
        code: .system, message: "a terminal cannot be resized",
        cause: SystemError("ioctl", errno: -result))
    }
  }

  func ended() {
    let input = state.withLock { state in
      state.stdinWriter = nil
      defer { state.input = nil }
      return state.input
    }
    input?.stop()
  }

  /// A reader that has stopped is not waited for longer than ``drainLimit``.
  func drain() async {
    guard let output = state.withLock({ $0.output }) else {
      await binary?.end()
      return
    }
    await withTaskGroup { group in
      group.addTask { _ = await output.finished.isResolvedBeforeCancellation() }
      // Cancelled when the output has ended.
      group.addTask { try? await Task.sleep(for: Self.drainLimit) }
      await group.next()
      group.cancelAll()
    }
    guard let binary else { return }
    output.stop()
    await binary.end()
  }

  func close() {
    ended()
    let output = state.withLock { state in
      defer { state = State() }
      return state.output
    }
    output?.stop()
    socket.withLock { $0 = nil }
    binary?.giveUpWriters()
  }
}

/// A descriptor with several holders, closed by the last one.
final class SharedDescriptor: Sendable {
  private let descriptor: OwnedDescriptor
  var number: Int32 { descriptor.number }

  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// The ends of the fifo, or the file, that a terminal's output goes to.
struct OutputEnds: ~Copyable {
  private let sink: OwnedDescriptor
  let reader: SharedDescriptor?

  init(_ target: StdioTarget) throws(SystemError) {
    switch target {
    case .null, .logger:
      sink = try OwnedDescriptor(opening: "/dev/null", O_WRONLY)
      reader = nil
    case .file(let path):
      try ProcessIO.makeDirectories(of: path)
      let flags = O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK
      sink = try OwnedDescriptor(opening: path, flags, mode: 0o644)
      reader = nil
    case .path(let path):
      var status = stat()
      guard stat(path, &status) == 0 else { throw .last("stat", path) }
      let isFifo = status.st_mode & S_IFMT == S_IFIFO
      // The reading end first: with it there, opening the other one waits for nobody.
      let other: SharedDescriptor? =
        isFifo
        ? SharedDescriptor(try OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK | O_NOCTTY))
        : nil
      sink = try OwnedDescriptor(
        opening: path, O_WRONLY | O_NOCTTY | O_NONBLOCK | (isFifo ? 0 : O_APPEND))
      reader = other
    }
  }

  consuming func takeSink() -> OwnedDescriptor { sink }
}
