internal import Glibc
internal import LinuxSystem
internal import Synchronization

extension StateDirectory {
  /// Holds a state directory for as long as it lives, or until it is released.
  public final class Hold: Sendable {
    private let lock: FileLock
    private let isReleased = Mutex(false)

    init(_ lock: FileLock) { self.lock = lock }

    /// Lets another program have it. Releasing again does nothing.
    public func release() {
      let isFirst = isReleased.withLock { released in
        defer { released = true }
        return !released
      }
      if isFirst { lock.release() }
    }

    deinit { release() }
  }

  /// Takes the state directory for one program that looks after it all the time, such as `hawse serve`:
  /// a second one is told who has it. Commands that work on single bundles go on beside it; theirs is
  /// the lock of each id.
  ///
  /// The lock is advisory (flock(2) on `<state>/locks/holder`) and ends with the process at the latest.
  ///
  /// - Parameter name: what the holder is to be called, such as `hawse serve`.
  /// - Throws: ``ShimManagementError`` with `busy`, which says who has it: the name, the pid, since when,
  ///   and the command line.
  public func holdExclusively(as name: String) throws(ShimManagementError) -> Hold {
    let path = "\(locks)/holder"
    let lock: FileLock?
    do {
      lock = try FileLock.tryAcquire(path)
    } catch {
      throw ShimManagementError(
        code: error.errno == EROFS || error.errno == EACCES ? .notWritable : .stateDirectory,
        message: "the state directory \(state) cannot be held",
        hint: "Check its directory of locks.", cause: error)
    }
    guard let lock else {
      throw ShimManagementError(
        code: .busy,
        message: "the state directory \(state) is held by \(Self.holder(path))",
        hint: "End that program first, or give this one another state directory.")
    }
    lock.note(HolderNote.own(name).text)
    return Hold(lock)
  }

  private static func holder(_ path: String) -> String {
    guard let note = FileLock.note(path).flatMap(HolderNote.init) else { return "another process" }
    return note.description
  }
}

/// Who holds a state directory, as its lock file says.
struct HolderNote: Hashable {
  var pid: Int32
  /// Seconds since 1970.
  var since: Int
  var name: String
  /// Its arguments, separated by spaces.
  var command: String

  static func own(_ name: String) -> HolderNote {
    // Without /proc the name is all there is to say.
    let words =
      (try? OwnedDescriptor(opening: "/proc/self/cmdline", O_RDONLY).read(atMost: 2048)) ?? []
    let command = words.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    return HolderNote(
      pid: getpid(), since: time(nil), name: line(name),
      command: line(command.joined(separator: " "))
    )
  }

  private static func line(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 32 }))
  }

  var text: String { "\(pid)\n\(since)\n\(name)\n\(command)\n" }

  var description: String {
    var moment = time_t(since)
    var parts = tm()
    var buffer = [CChar](repeating: 0, count: 32)
    gmtime_r(&moment, &parts)
    strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
    let date = String(
      decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return "\(name) (process \(pid), since \(date): \(command))"
  }
}

extension HolderNote {
  init?(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard lines.count >= 4, let pid = Int32(lines[0]), let since = Int(lines[1]) else { return nil }
    self.init(pid: pid, since: since, name: lines[2], command: lines[3])
  }
}
