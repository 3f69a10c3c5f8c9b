internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// The standard streams of one process without a terminal.
///
/// The process itself has the fifo or the file: nothing is copied, and no byte passes through the
/// shim. Of every fifo the shim holds the other end as well: the reading end of the output, so that
/// a reader that goes away breaks no container, and the writing end of the input until `CloseIO`, so
/// that a writer that goes away does not end it.
final class ProcessIO: ProcessStreams {
  private struct State {
    /// For the process: its own number to ours.
    var process: [Int32: SharedDescriptor] = [:]
    /// The other ends of the output, until the process is deleted.
    var readers: [SharedDescriptor] = []
    /// The shim's own writing ends, until the process has ended: a client that opens its end later
    /// than the process ends would otherwise wait for ever.
    var writers: [SharedDescriptor] = []
    var stdin: SharedDescriptor?
  }

  private let state: Mutex<State>

  /// Opens the streams. It blocks for as long as the disk takes, and for no other end of a fifo.
  ///
  /// - Parameter owner: whom the fifos are given to, where it is not root: the user namespace's
  ///   root, which may open `/dev/stdin` and `/dev/stdout` again.
  init(
    stdin: StdioTarget, stdout: StdioTarget, stderr: StdioTarget, owner: (uid: UInt32, gid: UInt32)
  ) throws(OCIShimError) {
    var state = State()
    do throws(SystemError) {
      try Self.openInput(stdin, owner, &state)
      try Self.openOutput(stdout, 1, owner, &state)
      if stderr == stdout, let shared = state.process[1] {
        state.process[2] = shared
      } else {
        try Self.openOutput(stderr, 2, owner, &state)
      }
    } catch {
      throw OCIShimError(
        code: .system, message: "the standard streams of a process cannot be opened", cause: error)
    }
    self.state = Mutex(state)
  }

  /// What the runtime is given: valid until ``spawned()``.
  var descriptors: [Int32: Int32]? {
    state.withLock { $0.process.mapValues(\.number) }
  }

  /// The process has its descriptors: ours are closed.
  func spawned() { state.withLock { $0.process = [:] } }

  func closeStdin() { state.withLock { $0.stdin = nil } }

  /// The process has ended: who reads its output comes to an end, with what is still there.
  func ended() {
    state.withLock { state in
      state.process = [:]
      state.writers = []
      state.stdin = nil
    }
  }

  var consoleSocket: String? { nil }

  func started() async throws {}

  /// No terminal, nothing to do: so says containerd's own shim.
  func resize(columns: UInt32, rows: UInt32) throws {}

  /// Nothing is on its way here: the process wrote into the fifo itself.
  func drain() async {}

  func close() {
    ended()
    state.withLock { $0.readers = [] }
  }

  private static func openInput(
    _ target: StdioTarget, _ owner: (uid: UInt32, gid: UInt32), _ state: inout State
  ) throws(SystemError) {
    switch target {
    case .null, .logger: return
    case .path(let path), .file(let path):
      // Not waiting for a writer; and held open by one of our own from here on.
      let reader = try OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
      if try reader.status().st_mode & S_IFMT == S_IFIFO {
        try give(reader, path, to: owner)
        state.stdin = SharedDescriptor(
          try OwnedDescriptor(opening: path, O_WRONLY | O_NONBLOCK | O_NOCTTY))
      }
      try makeBlocking(reader, path)
      state.process[0] = SharedDescriptor(reader)
    }
  }

  private static func openOutput(
    _ target: StdioTarget, _ number: Int32, _ owner: (uid: UInt32, gid: UInt32),
    _ state: inout State
  ) throws(SystemError) {
    switch target {
    case .null, .logger: return
    case .file(let path):
      try makeDirectories(of: path)
      state.process[number] = SharedDescriptor(
        try OwnedDescriptor(
          opening: path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK, mode: 0o644))
    case .path(let path):
      var status = stat()
      guard stat(path, &status) == 0 else { throw .last("stat", path) }
      guard status.st_mode & S_IFMT == S_IFIFO else {
        state.process[number] = SharedDescriptor(
          try OwnedDescriptor(opening: path, O_WRONLY | O_APPEND | O_NOCTTY | O_NONBLOCK))
        return
      }
      // The reading end first: with it there, opening the other one waits for nobody.
      let reader = try OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK | O_NOCTTY)
      let writer = try OwnedDescriptor(opening: path, O_WRONLY | O_NONBLOCK | O_NOCTTY)
      try give(writer, path, to: owner)
      try makeBlocking(writer, path)
      state.readers.append(SharedDescriptor(reader))
      state.writers.append(SharedDescriptor(try OwnedDescriptor(duplicating: writer.number)))
      state.process[number] = SharedDescriptor(writer)
    }
  }

  private static func give(
    _ fifo: borrowing OwnedDescriptor, _ path: String, to owner: (uid: UInt32, gid: UInt32)
  ) throws(SystemError) {
    guard owner.uid != 0 || owner.gid != 0 else { return }
    guard fchown(fifo.number, owner.uid, owner.gid) == 0 else { throw .last("fchown", path) }
  }

  private static func makeBlocking(
    _ descriptor: borrowing OwnedDescriptor, _ path: String
  ) throws(SystemError) {
    let flags = fcntl(descriptor.number, F_GETFL)
    guard flags >= 0, fcntl(descriptor.number, F_SETFL, flags & ~O_NONBLOCK) >= 0 else {
      throw .last("fcntl", path)
    }
  }

  static func makeDirectories(of path: String) throws(SystemError) {
    var at = ""
    for part in path.split(separator: "/").dropLast() {
      at += "/\(part)"
      guard mkdir(at, 0o755) == 0 || errno == EEXIST else { throw .last("mkdir", at) }
    }
  }
}
