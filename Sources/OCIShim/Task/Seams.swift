public import ContainerdAPI
public import SwiftProtobuf

/// Takes the events that the shim publishes.
///
/// The service relies on the order of the calls: an implementation keeps it. A call must not block,
/// and not call back into the service.
public protocol EventSink: Sendable {
  func publish(_ event: some Message & Sendable, topic: String)
}

/// A child of the shim that has ended and was reaped.
public struct ReapedChild: Hashable, Sendable {
  public var pid: Int32
  /// Clock ticks since boot, read before it was reaped; nil when they could not be read.
  public var startTime: UInt64?
  /// The exit code, or 128 and the signal's number.
  public var status: UInt32
  public var time: WallTime

  public init(pid: Int32, startTime: UInt64?, status: UInt32, time: WallTime) {
    self.pid = pid
    self.startTime = startTime
    self.status = status
    self.time = time
  }
}

/// Where the ends of children come from: all of them, each once, in any number, none dropped.
public protocol ExitSource: Sendable {
  /// Has every end from now on told to the handler, which does not block.
  func subscribe(_ handler: @escaping @Sendable (ReapedChild) -> Void)
}

/// The figures of a container's cgroup.
public protocol ContainerMetrics: Sendable {
  /// `io.containerd.cgroups.v1.Metrics` or `io.containerd.cgroups.v2.Metrics`, after the host's mode;
  /// nil when the container has no cgroup.
  func stats(container: String, pid: Int32) async throws -> Google_Protobuf_Any?
  /// The container is deleted: nothing of it is kept.
  func forget(container: String)
}

/// Sees when the kernel kills something in a container for want of memory.
public protocol MemoryWatching: Sendable {
  /// Begins to watch the container of a running init. It may block for as long as files of the
  /// kernel take.
  ///
  /// - Parameter tell: called for each kill, or for several at a time, from any thread and one call
  ///   at a time; it does not block, and does not call the watch.
  /// - Returns: nil when the process has ended, or has no memory cgroup of its own.
  func watch(
    _ process: JournalRecord.Process, _ tell: @escaping @Sendable () -> Void
  ) throws -> (any MemoryWatch)?
}

/// The watch of one container, which ends with it.
public protocol MemoryWatch: Sendable {
  /// Tells of kills that were not told yet, before it returns.
  func look()
  /// Looks for the last time. Nothing is told when it has returned.
  func stop()
}

/// Mounts what a container's root file system is made of.
public protocol RootfsMounts: Sendable {
  /// Mounts all, in order, onto `<bundle>/rootfs`, which is there. Nothing stays mounted when it
  /// throws.
  func mount(_ mounts: [Containerd_Types_Mount], bundle: String) async throws
  /// Unmounts all of it. Nothing mounted is no error.
  func unmount(bundle: String) async throws
}
