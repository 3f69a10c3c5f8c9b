internal import ContainerdAPI
internal import SwiftProtobuf

/// What an update changes in a client's record, by the rules of containerd's store: `labels`,
/// `extensions`, `spec` and `runtime`, or single entries of the first two, as `labels.name`.
struct RecordUpdate {
  let record: Containerd_Types_Sandbox
  /// None: all, and then the runtime's name must be the same.
  let fields: [String]

  static let mostFields = 1024
  /// Of a label's key and value together, as containerd has it.
  static let longestLabel = 4096

  /// - Parameter time: of the change.
  /// - Throws: `invalidRequest`. Nothing is changed then.
  func applied(
    to old: Containerd_Types_Sandbox, at time: Google_Protobuf_Timestamp
  ) throws(SandboxControlError) -> Containerd_Types_Sandbox {
    guard fields.count <= Self.mostFields else {
      throw refusal("an update of more than \(Self.mostFields) fields")
    }
    guard record.sandboxID.isEmpty || old.sandboxID.isEmpty || record.sandboxID == old.sandboxID
    else { throw refusal("the record is that of another sandbox") }
    var new = old
    if fields.isEmpty {
      guard record.runtime.name == old.runtime.name else {
        throw refusal("the name of a sandbox's runtime cannot be changed")
      }
      for field in ["labels", "extensions", "spec", "runtime"] { try apply(field, to: &new) }
    } else {
      for field in fields { try apply(field, to: &new) }
    }
    for (key, value) in new.labels where key.utf8.count + value.utf8.count > Self.longestLabel {
      throw refusal("the label \"\(key.prefix(100))\" is longer than \(Self.longestLabel) bytes")
    }
    new.updatedAt = time
    return new
  }

  private func apply(
    _ field: String, to new: inout Containerd_Types_Sandbox
  ) throws(SandboxControlError) {
    if let key = Self.key(of: field, in: "labels") {
      // What the record does not have is taken away.
      new.labels[key] = record.labels[key]
      return
    }
    if let key = Self.key(of: field, in: "extensions") {
      new.extensions[key] = record.extensions[key]
      return
    }
    switch field {
    case "labels": new.labels = record.labels
    case "extensions": new.extensions = record.extensions
    case "spec":
      if record.hasSpec { new.spec = record.spec } else { new.clearSpec() }
    case "runtime":
      guard record.runtime.name.utf8.count < 4096, !record.runtime.name.utf8.contains(0) else {
        throw refusal("the sandbox's runtime cannot be meant")
      }
      if record.hasRuntime { new.runtime = record.runtime } else { new.clearRuntime() }
    default: throw refusal("the field \"\(field.prefix(200))\" of a sandbox cannot be updated")
    }
  }

  private static func key(of field: String, in map: String) -> String? {
    guard field.hasPrefix(map + "."), field.utf8.count > map.utf8.count + 1 else { return nil }
    return String(field.dropFirst(map.count + 1))
  }

  private func refusal(_ message: String) -> SandboxControlError {
    SandboxControlError(
      code: .invalidRequest, message: message,
      hint: "labels, extensions, spec and runtime can be updated, and single labels and extensions."
    )
  }
}
