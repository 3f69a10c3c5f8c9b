/// The topics that events of tasks and sandboxes are published under (containerd `core/runtime/events.go`).
public enum EventTopic {
  public static let taskCreate = "/tasks/create"
  public static let taskStart = "/tasks/start"
  public static let taskOOM = "/tasks/oom"
  public static let taskExit = "/tasks/exit"
  public static let taskDelete = "/tasks/delete"
  public static let taskExecAdded = "/tasks/exec-added"
  public static let taskExecStarted = "/tasks/exec-started"
  public static let taskPaused = "/tasks/paused"
  public static let taskResumed = "/tasks/resumed"
  public static let taskCheckpointed = "/tasks/checkpointed"

  public static let sandboxCreate = "/sandboxes/create"
  public static let sandboxStart = "/sandboxes/start"
  public static let sandboxExit = "/sandboxes/exit"
}
