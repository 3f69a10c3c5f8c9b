internal import ContainerdAPI
internal import SwiftProtobuf

// Between the values of this module's face and the messages on the wire, where an absent string is
// an empty one.

extension Containerd_Task_V3_CreateTaskRequest {
  init(_ creation: TaskCreation) {
    self.init()
    id = creation.id
    bundle = creation.bundle
    rootfs = creation.rootfs.map(Containerd_Types_Mount.init)
    terminal = creation.streams.terminal
    stdin = creation.streams.standardInput ?? ""
    stdout = creation.streams.standardOutput ?? ""
    stderr = creation.streams.standardError ?? ""
    checkpoint = creation.checkpoint ?? ""
    parentCheckpoint = creation.parentCheckpoint ?? ""
    if let options = creation.options { self.options = options }
  }
}

extension Containerd_Task_V3_ExecProcessRequest {
  init(_ exec: TaskExec) {
    self.init()
    id = exec.id
    execID = exec.execID
    terminal = exec.streams.terminal
    stdin = exec.streams.standardInput ?? ""
    stdout = exec.streams.standardOutput ?? ""
    stderr = exec.streams.standardError ?? ""
    spec = exec.spec
  }
}

extension TaskState {
  init(_ response: Containerd_Task_V3_StateResponse) {
    func path(_ text: String) -> String? { text.isEmpty ? nil : text }
    self.init(
      id: response.id, execID: path(response.execID), bundle: response.bundle, pid: response.pid,
      status: TaskStatus(rawValue: response.status.rawValue),
      streams: StreamLocations(
        standardInput: path(response.stdin), standardOutput: path(response.stdout),
        standardError: path(response.stderr), terminal: response.terminal),
      exitStatus: response.exitStatus,
      exitedAt: response.hasExitedAt ? response.exitedAt.ifReal : nil)
  }
}

extension TaskExit {
  init(_ response: Containerd_Task_V3_DeleteResponse) {
    self.init(
      pid: response.pid, status: response.exitStatus,
      exitedAt: response.hasExitedAt ? response.exitedAt.ifReal : nil)
  }
}

extension TaskExit {
  init(_ response: Containerd_Task_V3_WaitResponse) {
    self.init(
      status: response.exitStatus,
      exitedAt: response.hasExitedAt ? response.exitedAt.ifReal : nil)
  }
}

extension Google_Protobuf_Timestamp {
  /// `nil` for the year 1, which Go's shims send in place of a time that they do not have.
  var ifReal: Google_Protobuf_Timestamp? { seconds > 0 ? self : nil }
}
