internal import CLinux
internal import Glibc
internal import LinuxSystem

/// One process of this system, told apart from a later one with the same number by the time it
/// started at. This is for processes that are not our children, such as a shim that outlived the
/// program that started it.
public struct ProcessIdentity: Hashable, Sendable {
  public let pid: Int32
  /// Clock ticks from boot to the process's start: field 22 of proc(5)'s `/proc/PID/stat`.
  public let startTime: UInt64

  public init(pid: Int32, startTime: UInt64) {
    self.pid = pid
    self.startTime = startTime
  }

  /// The process that has this number now; `nil` when there is none, or only its zombie.
  public init?(pid: Int32) {
    guard let status = ProcessStatus(pid: pid), !status.isDead else { return nil }
    self.init(pid: pid, startTime: status.startTime)
  }

  /// Whether this very process still runs. A zombie does not: nothing of it can act any more.
  public var isAlive: Bool {
    guard let status = ProcessStatus(pid: pid) else { return false }
    return !status.isDead && status.startTime == startTime
  }

  /// Sends a signal to this very process. `false`: it is gone, or this process may not.
  @discardableResult
  public func signal(_ number: Int32) -> Bool {
    let pidfd = clinux_pidfd_open(pid)
    guard pidfd >= 0 else { return false }
    let descriptor = OwnedDescriptor(owning: pidfd)
    // Looked at behind the open: from here on the descriptor cannot come to mean another process.
    guard isAlive else { return false }
    return clinux_pidfd_signal(descriptor.number, number) == 0
  }

  /// Waits until this very process no longer runs. `false`: it still did when the time was over,
  /// or when the calling task was cancelled.
  public func waitForEnd(within limit: Duration) async -> Bool {
    let deadline = ContinuousClock.now + limit
    var pause = Duration.milliseconds(1)
    while isAlive {
      guard ContinuousClock.now < deadline else { return false }
      // A cancelled sleep throws, and then the answer is what is known so far.
      do { try await Task.sleep(for: pause) } catch { return !isAlive }
      pause = min(pause * 2, .milliseconds(50))
    }
    return true
  }
}

/// What `/proc/PID/stat` says of a process, as far as supervision needs it.
public struct ProcessStatus: Hashable, Sendable {
  /// The program's name: at most 15 bytes of its file's name, or what it set itself.
  public let name: String
  /// The state's letter, such as R, S, D, T, Z.
  public let state: Character
  public let parent: Int32
  public let group: Int32
  public let session: Int32
  /// Clock ticks since boot.
  public let startTime: UInt64

  public var isDead: Bool { state == "Z" || state == "X" || state == "x" }

  /// `nil` when there is no such process.
  public init?(pid: Int32) {
    guard pid > 0, let descriptor = try? OwnedDescriptor(opening: "/proc/\(pid)/stat", O_RDONLY)
    else { return nil }  // Whatever kept the file away: there is no process to speak of.
    // One line, below a kibibyte, and the kernel gives it in one read.
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor.number, &bytes, bytes.count)
    guard count > 0 else { return nil }
    self.init(line: bytes[..<count])
  }

  /// Reads the line's fields. The name is in parentheses and may itself hold any of `) (` and
  /// spaces, so the last parenthesis is the one that ends it.
  init?(line: ArraySlice<UInt8>) {
    guard let open = line.firstIndex(of: UInt8(ascii: "(")),
      let close = line.lastIndex(of: UInt8(ascii: ")")), open < close
    else { return nil }
    let fields = line[(close + 1)...].split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
      .map { String(decoding: $0, as: UTF8.self) }
    // The first field here is the line's third.
    guard fields.count > 19, let state = fields[0].first, let parent = Int32(fields[1]),
      let group = Int32(fields[2]), let session = Int32(fields[3]),
      let startTime = UInt64(fields[19])
    else { return nil }
    self.name = String(decoding: line[(open + 1)..<close], as: UTF8.self)
    self.state = state
    self.parent = parent
    self.group = group
    self.session = session
    self.startTime = startTime
  }

  /// The path of the program's file; ` (deleted)` behind it when it was replaced. `nil` for kernel
  /// threads, for processes that are gone, and for those of others when not root.
  public static func executable(of pid: Int32) -> String? {
    var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = buffer.withUnsafeMutableBufferPointer { bytes in
      bytes.withMemoryRebound(to: CChar.self) { characters in
        // Not null: the buffer is not empty.
        readlink("/proc/\(pid)/exe", characters.baseAddress.unsafelyUnwrapped, characters.count)
      }
    }
    return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
  }
}
