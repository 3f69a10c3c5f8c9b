internal import ContainerdAPI
internal import SwiftProtobuf

/// The fields of an event that a filter can name, as containerd's own messages give them: texts and
/// truth values, and not numbers, times and lists.
struct EventFields {
  let envelope: Containerd_Types_Envelope

  /// - Returns: nil where there is no such field, or nothing in it.
  func value(at path: [String]) -> String? {
    let text: String?
    switch path.first {
    case "namespace": text = envelope.namespace
    case "topic": text = envelope.topic
    case "event": text = held(at: path.dropFirst().joined(separator: "."))
    default: text = nil
    }
    return text.flatMap { $0.isEmpty ? nil : $0 }
  }

  private func held(at path: String) -> String? {
    let name = envelope.event.typeURL.split(separator: "/").last ?? ""
    guard let read = Self.readers[String(name)] else { return nil }
    return read(envelope.event, path)
  }

  private typealias Reader = @Sendable (Google_Protobuf_Any, String) -> String?

  /// By the name of the message.
  private static let readers: [String: Reader] = {
    var readers: [String: Reader] = [:]
    func add<M: Message>(_ type: M.Type, _ field: @escaping @Sendable (M, String) -> String?) {
      readers[TypeURL.of(type)] = { packed, path in
        // What is damaged has no fields; a subscriber is no judge of it.
        guard let message = try? TypeURL.unpack(packed, as: type) else { return nil }
        return field(message, path)
      }
    }
    add(Containerd_Events_SandboxCreate.self) { $1 == "sandbox_id" ? $0.sandboxID : nil }
    add(Containerd_Events_SandboxStart.self) { $1 == "sandbox_id" ? $0.sandboxID : nil }
    add(Containerd_Events_SandboxExit.self) { $1 == "sandbox_id" ? $0.sandboxID : nil }
    add(Containerd_Events_TaskCreate.self) { value(of: $0, at: $1) }
    add(Containerd_Events_TaskStart.self) { $1 == "container_id" ? $0.containerID : nil }
    add(Containerd_Events_TaskExit.self) { ["container_id": $0.containerID, "id": $0.id][$1] }
    add(Containerd_Events_TaskDelete.self) { ["container_id": $0.containerID, "id": $0.id][$1] }
    add(Containerd_Events_TaskOOM.self) { $1 == "container_id" ? $0.containerID : nil }
    add(Containerd_Events_TaskExecAdded.self) {
      ["container_id": $0.containerID, "exec_id": $0.execID][$1]
    }
    add(Containerd_Events_TaskExecStarted.self) {
      ["container_id": $0.containerID, "exec_id": $0.execID][$1]
    }
    add(Containerd_Events_TaskPaused.self) { $1 == "container_id" ? $0.containerID : nil }
    add(Containerd_Events_TaskResumed.self) { $1 == "container_id" ? $0.containerID : nil }
    add(Containerd_Events_TaskCheckpointed.self) {
      ["container_id": $0.containerID, "checkpoint": $0.checkpoint][$1]
    }
    return readers
  }()

  private static func value(of create: Containerd_Events_TaskCreate, at path: String) -> String? {
    switch path {
    case "container_id": create.containerID
    case "bundle": create.bundle
    case "checkpoint": create.checkpoint
    case "io.stdin": create.io.stdin
    case "io.stdout": create.io.stdout
    case "io.stderr": create.io.stderr
    case "io.terminal": create.io.terminal ? "true" : "false"
    default: nil
    }
  }
}
