/// The full names of the services that travel between containerd and shims.
public enum ServiceName {
  /// Tasks, for shims of version 2. ttrpc only.
  public static let taskV2 = "containerd.task.v2.Task"
  /// Tasks, for shims of version 3. The messages are those of version 2.
  public static let taskV3 = "containerd.task.v3.Task"
  /// Where shims send their events. Served by the daemon.
  public static let events = "containerd.services.events.ttrpc.v1.Events"
}
