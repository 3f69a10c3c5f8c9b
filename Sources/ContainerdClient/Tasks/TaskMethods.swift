internal import RPCCore

/// The task service's methods in one version's wording.
///
/// containerd's `containerd.task.v2` and `containerd.task.v3` differ in the package's name alone:
/// every message has the same fields with the same numbers and types. So one set of messages, the
/// third version's, is enough for both, and only the service's name tells them apart.
struct TaskMethods: Sendable {
  let state, create, start, delete, pids, pause, resume, checkpoint: RPCMethod
  let kill, exec, resizePty, closeIO, update, wait, stats, connect, shutdown: RPCMethod

  static let version2 = TaskMethods(service: "containerd.task.v2.Task")
  static let version3 = TaskMethods(service: "containerd.task.v3.Task")

  private init(service: String) {
    func method(_ name: String) -> RPCMethod { RPCMethod(service: service, name: name) }
    state = method("State")
    create = method("Create")
    start = method("Start")
    delete = method("Delete")
    pids = method("Pids")
    pause = method("Pause")
    resume = method("Resume")
    checkpoint = method("Checkpoint")
    kill = method("Kill")
    exec = method("Exec")
    resizePty = method("ResizePty")
    closeIO = method("CloseIO")
    update = method("Update")
    wait = method("Wait")
    stats = method("Stats")
    connect = method("Connect")
    shutdown = method("Shutdown")
  }
}
