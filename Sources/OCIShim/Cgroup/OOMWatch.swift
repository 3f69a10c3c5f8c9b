internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import ProcessSupervision
internal import Synchronization

/// Tells when the kernel has killed something in a container for want of memory.
///
/// What counts is a kill: with a limit on the pod, a container's own `oom` counter stands still when
/// its processes are killed (containerd's issue 6323).
final class OOMWatch: MemoryWatch {
  /// What the kernel writes to, or makes ready, when the counter may have changed.
  private struct Open: ~Copyable {
    let notifications: OwnedDescriptor
    var watch: ReadinessThread.Watch?
    /// How many kills have been told.
    var told: UInt64
  }

  private let counter: Counter
  private let tell: @Sendable () -> Void
  private let open: Mutex<Open?>

  /// Where kills are counted.
  private enum Counter {
    /// memory.events of cgroup v2.
    case unified(CgroupDirectory)
    /// memory.oom_control of cgroup v1, since Linux 4.13.
    case separate(CgroupDirectory)

    /// cgroup v1 says that memory has run out, and then counts the kill.
    var isNotifiedBefore: Bool {
      switch self {
      case .unified: false
      case .separate: true
      }
    }

    var kills: UInt64? {
      switch self {
      case .unified(let cgroup): cgroup.table("memory.events")["oom_kill"]
      case .separate(let cgroup): cgroup.table("memory.oom_control")["oom_kill"]
      }
    }
  }

  /// Begins to watch. Kills of before are not told.
  ///
  /// - Parameter tell: Called once for each look that found new kills, on a thread that must not be
  ///   held up, or on that of ``look()`` or ``stop()``, under the watch's lock.
  /// - Throws: `.cgroupGone` when there is no memory controller, `.system` when the kernel refuses.
  init(
    _ location: CgroupLocation, _ tell: @escaping @Sendable () -> Void
  ) throws(OCIShimError) {
    let counter: Counter
    let notifications: OwnedDescriptor
    do throws(SystemError) {
      switch location {
      case .unified(let path):
        counter = .unified(CgroupDirectory(path: path))
        notifications = try Self.inotify(path + "/memory.events")
      case .separate(let directories):
        guard let path = directories["memory"] else {
          throw SystemError("open", "memory.oom_control", errno: ENOENT)
        }
        counter = .separate(CgroupDirectory(path: path))
        notifications = try Self.eventfd(path)
      }
    } catch {
      throw OCIShimError(
        code: error.errno == ENOENT || error.errno == ENODEV ? .cgroupGone : .system,
        message: "it cannot be watched whether memory runs out", cause: error)
    }
    self.counter = counter
    self.tell = tell
    let number = notifications.number
    open = Mutex(Open(notifications: notifications, watch: nil, told: counter.kills ?? 0))
    do throws(SystemError) {
      let watch = try ReadinessThread.shared().add(number, for: .readable) { [weak self] in
        self?.look()
      }
      open.withLock { $0?.watch = watch }
    } catch {
      throw OCIShimError(
        code: .system, message: "it cannot be watched whether memory runs out", cause: error)
    }
  }

  deinit { end() }

  /// Looks for the last time, so that a kill is told before the end that it brought about.
  func stop() {
    look()
    end()
  }

  func look() {
    // Told under the lock: a look that finds nothing new must not overtake the one that found it.
    open.withLock { open in
      guard let number = open?.notifications.number, let told = open?.told else { return }
      // Non-blocking, and large enough for any notification.
      var buffer = (0, 0, 0, 0, 0, 0, 0, 0)
      var isNotified = false
      while withUnsafeMutableBytes(of: &buffer, { read(number, $0.baseAddress, $0.count) }) > 0 {
        isNotified = true
      }
      // Gone with its cgroup: it cannot be known any more.
      guard let kills = counter.kills else { return }
      if kills > told {
        open?.told = kills
      } else if isNotified, counter.isNotifiedBefore, kills == told {
        open?.told = kills + 1
      } else {
        return
      }
      tell()
    }
  }

  private func end() {
    open.withLock { open in
      if let watch = open?.watch {
        // It is running, since the watch was added to it.
        try? ReadinessThread.shared().remove(watch)
      }
      open = nil
    }
  }

  private static func inotify(_ path: String) throws(SystemError) -> OwnedDescriptor {
    let number = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
    guard number >= 0 else { throw .last("inotify_init1") }
    let descriptor = OwnedDescriptor(owning: number)
    guard inotify_add_watch(number, path, UInt32(IN_MODIFY)) >= 0 else {
      throw .last("inotify_add_watch", path)
    }
    return descriptor
  }

  /// The kernel takes the numbers of two descriptors and keeps what they stand for.
  private static func eventfd(_ path: String) throws(SystemError) -> OwnedDescriptor {
    let number = clinux_eventfd()
    guard number >= 0 else { throw SystemError("eventfd", errno: -number) }
    let descriptor = OwnedDescriptor(owning: number)
    let control = try OwnedDescriptor(opening: path + "/memory.oom_control", O_RDONLY)
    let registry = try OwnedDescriptor(opening: path + "/cgroup.event_control", O_WRONLY)
    try registry.write(Array("\(number) \(control.number)".utf8))
    return descriptor
  }
}
