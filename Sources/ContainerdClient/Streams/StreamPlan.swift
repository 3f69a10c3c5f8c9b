/// What a process is to read.
public enum InputSource: Sendable {
  /// It has no standard input at all.
  case none
  /// A descriptor of the caller's: a pipe, a terminal, a file, a socket. It is not closed, and no
  /// flag of it is changed.
  case descriptor(Int32)
  case bytes([UInt8])
}

/// Where to what a process prints goes.
public enum OutputSink: Sendable {
  /// It has no such stream; the shim sends it nowhere.
  case none
  /// It is read and dropped.
  case discard
  /// A descriptor of the caller's: a pipe, a terminal, a file, a socket. It is not closed, and no
  /// flag of it is changed.
  case descriptor(Int32)
  /// It is kept, up to this many bytes; the rest is read and dropped.
  case memory(limit: Int)
}

/// The three standard streams of one process.
public struct StreamPlan: Sendable {
  public var input: InputSource
  public var output: OutputSink
  /// Not used with a terminal, which has one output.
  public var error: OutputSink
  public var terminal: Bool

  public init(
    input: InputSource = .none, output: OutputSink = .discard, error: OutputSink = .discard,
    terminal: Bool = false
  ) {
    self.input = input
    self.output = output
    self.error = error
    self.terminal = terminal
  }
}

/// What became of one output.
public struct StreamResult: Sendable {
  /// How many bytes came from the process.
  public internal(set) var byteCount: UInt64 = 0
  /// What was kept of them, for ``OutputSink/memory(limit:)``.
  public internal(set) var bytes: [UInt8] = []
  /// Whether bytes were dropped because they were more than the limit.
  public internal(set) var truncated = false
  /// Whether the end was seen. `false`: somebody still held the stream, or the sink did not take
  /// its bytes, when time was up.
  public internal(set) var reachedEnd = false
  /// Why the sink took no more. The process was not disturbed: the rest was read and dropped.
  public internal(set) var failure: ContainerdClientError?
}

/// What became of the input.
public enum InputResult: Hashable, Sendable {
  /// All of it was handed over and the fifo is closed: it is time for the task client's `closeIO`,
  /// since the shim holds the fifo too.
  case delivered
  /// Nobody reads any more: the process or its shim is gone.
  case readerGone
  /// The streams were finished first, or reading the source failed, or there was no input at all.
  case stopped
}
