internal import Glibc
internal import LinuxSystem
public import Logging
internal import Synchronization

/// The bundle's `log` fifo, which the daemon reads: what a shim logs to.
///
/// Neither a daemon that is away nor one that does not read blocks or breaks the shim: this side
/// has the fifo open for reading, too, so that a write never fails for want of a reader and nothing
/// that is in it is lost when the daemon is started anew. What the fifo has no room for waits in
/// memory, at most ``Configuration/backlog`` bytes; what that has no room for is dropped, counted,
/// and told in a line of its own once there is room.
public final class LogFifo: Sendable {
  private struct State: ~Copyable {
    var backlog: LineBacklog
    let descriptor: OwnedDescriptor
    var isWaiting = false
  }

  private let state: Mutex<State>

  /// Opens the fifo.
  ///
  /// - Parameters:
  ///   - path: `log` in the working directory, which is the bundle when the daemon starts a shim.
  ///   - backlog: in bytes.
  /// - Throws: `system`; it is one, too, when there is something else than a fifo.
  public init(path: String = "log", backlog: Int = 256 << 10) throws(ShimKitError) {
    do throws(SystemError) {
      let descriptor = try OwnedDescriptor(opening: path, O_RDWR | O_NONBLOCK)
      guard try descriptor.status().st_mode & S_IFMT == S_IFIFO else {
        throw SystemError("open", path, errno: EINVAL)
      }
      state = Mutex(State(backlog: LineBacklog(limit: backlog), descriptor: descriptor))
    } catch {
      throw ShimKitError(
        code: .system, message: "cannot open the log \(path)",
        hint: error.errno == EINVAL ? "It must be a fifo: the daemon makes it." : nil, cause: error)
    }
  }

  /// How many lines have been dropped so far.
  public var dropped: UInt64 { state.withLock { $0.backlog.dropped } }

  /// Makes the fifo this process's standard error, so that what others print there, such as a
  /// crash's reason, is in the log. It does not block either: what the fifo has no room for is lost.
  public func takeStandardError() throws(ShimKitError) {
    do throws(SystemError) {
      try state.withLock { state throws(SystemError) in
        guard dup2(state.descriptor.number, STDERR_FILENO) >= 0 else { throw .last("dup2") }
      }
    } catch {
      throw ShimKitError(
        code: .system, message: "cannot make the log the standard error", cause: error)
    }
  }

  /// For `LoggingSystem.bootstrap`, or for a logger of its own.
  public func handler(level: Logger.Level = .info) -> LogFifoHandler {
    LogFifoHandler(fifo: self, level: level)
  }

  func write(_ line: [UInt8]) {
    state.withLock { state in
      state.backlog.append(line, notice: Self.notice)
      flush(&state)
    }
  }

  /// Under the lock, for the lines' order: no write blocks.
  private func flush(_ state: inout State) {
    while !state.backlog.bytes.isEmpty {
      // Up to PIPE_BUF a write is whole or nothing, so other writers' lines do not come between.
      let count = Self.nextWrite(of: state.backlog.bytes)
      let written = retryingInterrupts {
        state.backlog.bytes.withUnsafeBytes {
          Glibc.write(state.descriptor.number, $0.baseAddress, count)
        }
      }
      guard written > 0 else {
        // A fifo that this process reads itself fails for want of room alone.
        awaitRoom(&state)
        return
      }
      state.backlog.removeFirst(written)
      if state.backlog.bytes.isEmpty { state.backlog.tell(Self.notice) }
    }
  }

  /// Whole lines up to PIPE_BUF, or the first PIPE_BUF bytes of a line that is longer.
  private static func nextWrite(of bytes: [UInt8]) -> Int {
    let most = 4096
    guard bytes.count > most else { return bytes.count }
    let end = bytes.prefix(most).lastIndex(of: UInt8(ascii: "\n"))
    return end.map { $0 + 1 } ?? most
  }

  private func awaitRoom(_ state: inout State) {
    guard !state.isWaiting else { return }
    state.isWaiting = true
    // Nobody reads `descriptor`'s number but while this object, which closes it, is held.
    let number = state.descriptor.number
    Task.detached {
      // Without a way to wait, the next line tries again.
      let hasRoom = (try? await waitUntilWritable(number)) != nil
      self.state.withLock { state in
        state.isWaiting = false
        if hasRoom { self.flush(&state) }
      }
    }
  }

  private static func notice(_ count: UInt64) -> [UInt8] {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return LogLine.bytes(
      time: time, level: .warning, message: "lines of the log were dropped",
      metadata: ["count": "\(count)"])
  }
}

/// Writes lines in the form of the daemon's own (logrus's text format) to a ``LogFifo``.
public struct LogFifoHandler: LogHandler {
  public var logLevel: Logger.Level
  public var metadata: Logger.Metadata = [:]
  public var metadataProvider: Logger.MetadataProvider?
  private let fifo: LogFifo

  init(fifo: LogFifo, level: Logger.Level) {
    self.fifo = fifo
    logLevel = level
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    var all = metadata
    if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
    if let own = event.metadata { all.merge(own) { _, new in new } }
    if let error = event.error { all["error"] = "\(error)" }
    fifo.write(
      LogLine.bytes(
        time: time, level: event.level, message: event.message.description, metadata: all))
  }
}
