internal import CLinux
internal import Glibc
internal import LinuxSystem

/// All that a run opens before it starts its child.
struct RunDescriptors: ~Copyable {
  let timer: OwnedDescriptor
  let input: Pipe
  let output: Pipe
  let error: Pipe

  init() throws(SystemError) {
    let timer = try TimerDescriptor.make()
    let input = try Pipe()
    let output = try Pipe()
    let error = try Pipe()
    try input.writing.makeNonBlocking()
    try output.reading.makeNonBlocking()
    try error.reading.makeNonBlocking()
    self.timer = timer
    self.input = input
    self.output = output
    self.error = error
  }
}

/// The reading end of a child's output: keeps the first bytes, takes and drops the rest.
struct OutputPipe {
  private(set) var descriptor: Int32
  private var watch: ReadinessThread.Watch?
  private let limit: Int
  private(set) var bytes: [UInt8] = []
  private(set) var truncated = false

  init(owning descriptor: Int32, limit: Int, watch: ReadinessThread.Watch) {
    self.descriptor = descriptor
    self.limit = limit
    self.watch = watch
  }

  var isOpen: Bool { watch != nil }

  /// Takes what is there, without waiting and at most a mebibyte, so that a child that never
  /// stops printing leaves the thread to others. Returns whether the output has ended.
  mutating func takeWhatIsThere() -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
      for _ in 0..<16 {
        let count = read(descriptor, buffer.baseAddress, buffer.count)
        if count == 0 { return true }
        if count < 0 {
          if errno == EINTR { continue }
          // Anything but "nothing there now" cannot be mended by trying again.
          return errno != EAGAIN
        }
        let room = min(count, limit - bytes.count)
        bytes.append(contentsOf: buffer[..<room])
        if room < count { truncated = true }
      }
      return false
    }
  }

  mutating func close(_ thread: ReadinessThread) {
    guard let watch else { return }
    thread.remove(watch)
    Glibc.close(descriptor)
    self.watch = nil
  }
}

/// The writing end of a child's input.
struct InputPipe {
  private let descriptor: Int32
  private var watch: ReadinessThread.Watch?
  private var rest: ArraySlice<UInt8>

  init(owning descriptor: Int32, bytes: [UInt8], watch: ReadinessThread.Watch) {
    self.descriptor = descriptor
    self.watch = watch
    self.rest = bytes[...]
  }

  /// Writes what the pipe takes now, and closes it behind the last byte, or when nobody will read
  /// on: a child need not read its input. Only for the readiness thread, which blocks SIGPIPE.
  mutating func writeWhatFits(_ thread: ReadinessThread) {
    while watch != nil, !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, min($0.count, 1 << 20)) }
      if count >= 0 {
        rest = rest.dropFirst(count)
      } else if errno == EAGAIN {
        return
      } else if errno != EINTR {
        break
      }
    }
    close(thread)
  }

  mutating func close(_ thread: ReadinessThread) {
    guard let watch else { return }
    thread.remove(watch)
    Glibc.close(descriptor)
    self.watch = nil
    rest = []
  }
}

/// A one-shot timer on the readiness thread.
struct TimerDescriptor {
  private let descriptor: Int32
  private var watch: ReadinessThread.Watch?

  init(owning descriptor: Int32, watch: ReadinessThread.Watch) {
    self.descriptor = descriptor
    self.watch = watch
  }

  static func make() throws(SystemError) -> OwnedDescriptor {
    let descriptor = clinux_timer_create()
    guard descriptor >= 0 else { throw SystemError("timerfd_create", errno: -descriptor) }
    return OwnedDescriptor(owning: descriptor)
  }

  /// Fires once after this long, instead of when it would have.
  func set(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    // Zero would switch it off, and the kernel's seconds must not overflow: 30 years are for ever.
    clinux_timer_set(
      descriptor, min(max(seconds, 0), 1_000_000_000), max(attoseconds / 1_000_000_000, 1))
  }

  /// Whether it has fired since it was set last.
  func hasFired() -> Bool {
    var count: UInt64 = 0
    return read(descriptor, &count, 8) == 8
  }

  mutating func close(_ thread: ReadinessThread) {
    guard let watch else { return }
    thread.remove(watch)
    Glibc.close(descriptor)
    self.watch = nil
  }
}
