internal import Glibc
internal import LinuxSystem
internal import ProcessSupervision
internal import Synchronization

/// Copies from one descriptor to another without a thread of its own: what the sink does not take
/// waits in a buffer of bounded size, and nothing more is read until it has.
final class StreamPump: Sendable {
  private static let chunk = 32 << 10

  private struct State {
    var source: Int32
    var sink: Int32
    var pending: ArraySlice<UInt8> = []
    var watch: ReadinessThread.Watch?
    var watched: Int32?
    var isOver = false
    /// The source has ended; what is pending is still to be written.
    var isLast = false
  }

  private let thread: ReadinessThread
  private let state: Mutex<State>
  /// Resolved when all is written, or nothing more can be.
  let finished = ExitPromise()

  /// Both descriptors do not block, and are this pump's own: it closes them.
  init(from source: consuming OwnedDescriptor, to sink: consuming OwnedDescriptor)
    throws(SystemError)
  {
    thread = try .shared()
    state = Mutex(State(source: source.release(), sink: sink.release()))
  }

  deinit { stop() }

  func start() { advance { self.watchSource(&$0) } }

  /// Ends it now; what is pending is lost.
  func stop() { advance { self.end(&$0) } }

  private func advance(_ step: (inout State) -> Void) {
    // The lock is held across reads and writes that do not block: only a stop could wait for it.
    let isOver = state.withLock { state in
      if !state.isOver { step(&state) }
      return state.isOver
    }
    if isOver { finished.resolve(nil) }
  }

  private func sourceReady(_ state: inout State) {
    // A call that was on its way when the watch was removed.
    guard state.pending.isEmpty, !state.isLast else { return }
    var bytes = [UInt8](repeating: 0, count: Self.chunk)
    let count = retryingInterrupts { read(state.source, &bytes, bytes.count) }
    if count < 0, errno == EAGAIN { return }
    if count > 0 {
      state.pending = bytes[..<count]
    } else {
      // A terminal says EIO when the last process has let go of it.
      state.isLast = true
    }
    flush(&state)
  }

  private func flush(_ state: inout State) {
    while !state.pending.isEmpty {
      let written = retryingInterrupts {
        state.pending.withUnsafeBytes { write(state.sink, $0.baseAddress, $0.count) }
      }
      if written < 0 {
        guard errno == EAGAIN else { return end(&state) }
        return watchSink(&state)
      }
      state.pending = state.pending.dropFirst(written)
    }
    if state.isLast { return end(&state) }
    watchSource(&state)
  }

  private func watchSource(_ state: inout State) {
    watch(state.source, .readable, &state) { pump in pump.advance { pump.sourceReady(&$0) } }
  }

  private func watchSink(_ state: inout State) {
    watch(state.sink, .writable, &state) { pump in pump.advance { pump.flush(&$0) } }
  }

  private func watch(
    _ descriptor: Int32, _ event: ReadinessThread.Event, _ state: inout State,
    _ ready: @escaping @Sendable (StreamPump) -> Void
  ) {
    if let watch = state.watch {
      if state.watched == descriptor { return }
      thread.remove(watch)
    }
    do throws(SystemError) {
      // The thread keeps the pump until its end: bytes go on when nobody else looks.
      state.watch = try thread.add(descriptor, for: event) { ready(self) }
      state.watched = descriptor
    } catch {
      state.watch = nil
      end(&state)
    }
  }

  private func end(_ state: inout State) {
    if let watch = state.watch { thread.remove(watch) }
    close(state.source)
    close(state.sink)
    state.watch = nil
    state.watched = nil
    state.pending = []
    state.isOver = true
  }
}
