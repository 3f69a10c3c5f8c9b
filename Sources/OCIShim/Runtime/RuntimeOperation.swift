/// One call of an OCI runtime, as runc and crun have it on their command lines.
enum RuntimeOperation: Hashable, Sendable {
  case create(id: String, bundle: String, pidFile: String, consoleSocket: String?)
  case start(id: String)
  case exec(id: String, process: String, pidFile: String, consoleSocket: String?)
  case kill(id: String, signal: UInt32, all: Bool)
  case delete(id: String, force: Bool)
  case pause(id: String)
  case resume(id: String)
  case processes(id: String)
  case update(id: String)
  case checkpoint(id: String, Checkpoint)
  case restore(
    id: String, bundle: String, pidFile: String, consoleSocket: String?, Checkpoint)
  case features
  case version

  /// What `checkpoint` and `restore` take.
  struct Checkpoint: Hashable, Sendable {
    var imagePath = ""
    var workPath = ""
    var parentPath = ""
    var openTCP = false
    var externalUnixSockets = false
    var terminal = false
    var fileLocks = false
    var emptyNamespaces: [String] = []
    /// For `checkpoint` alone: the container goes on.
    var leaveRunning = false

    var arguments: [String] {
      var arguments: [String] = []
      if !imagePath.isEmpty { arguments += ["--image-path", imagePath] }
      if !workPath.isEmpty { arguments += ["--work-path", workPath] }
      if !parentPath.isEmpty { arguments += ["--parent-path", parentPath] }
      if openTCP { arguments.append("--tcp-established") }
      if externalUnixSockets { arguments.append("--ext-unix-sk") }
      if terminal { arguments.append("--shell-job") }
      if fileLocks { arguments.append("--file-locks") }
      for namespace in emptyNamespaces { arguments += ["--empty-ns", namespace] }
      return arguments
    }
  }

  /// The runtime's own word for it, which names log files and errors.
  var name: String {
    switch self {
    case .create: "create"
    case .start: "start"
    case .exec: "exec"
    case .kill: "kill"
    case .delete: "delete"
    case .pause: "pause"
    case .resume: "resume"
    case .processes: "ps"
    case .update: "update"
    case .checkpoint: "checkpoint"
    case .restore: "restore"
    case .features: "features"
    case .version: "version"
    }
  }

  func arguments(_ options: RuntimeOptions) -> [String] {
    func console(_ socket: String?) -> [String] { socket.map { ["--console-socket", $0] } ?? [] }
    switch self {
    case .create(let id, let bundle, let pidFile, let socket):
      return ["create", "--bundle", bundle, "--pid-file", pidFile] + console(socket)
        + (options.noPivotRoot ? ["--no-pivot"] : [])
        + (options.noNewKeyring ? ["--no-new-keyring"] : []) + [id]
    case .start(let id): return ["start", id]
    case .exec(let id, let process, let pidFile, let socket):
      return ["exec", "--process", process] + console(socket)
        + ["--detach", "--pid-file", pidFile, id]
    case .kill(let id, let signal, let all):
      return ["kill"] + (all ? ["--all"] : []) + [id, "\(signal)"]
    case .delete(let id, let force): return ["delete"] + (force ? ["--force"] : []) + [id]
    case .pause(let id): return ["pause", id]
    case .resume(let id): return ["resume", id]
    case .processes(let id): return ["ps", "--format", "json", id]
    case .update(let id): return ["update", "--resources=-", id]
    case .checkpoint(let id, let checkpoint):
      return ["checkpoint"] + checkpoint.arguments
        + (checkpoint.leaveRunning ? ["--leave-running"] : []) + [id]
    case .restore(let id, let bundle, let pidFile, let socket, let checkpoint):
      return ["restore"] + checkpoint.arguments + ["--detach", "--pid-file", pidFile]
        + console(socket) + (options.noPivotRoot ? ["--no-pivot"] : [])
        + ["--no-subreaper", "--bundle", bundle, id]
    case .features: return ["features"]
    case .version: return ["--version"]
    }
  }
}
