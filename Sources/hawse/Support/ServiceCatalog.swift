import ContainerdAPI
import RPCCore
import SwiftProtobuf
import TransportCore

/// The methods that can be called by their names, and the messages that are known by theirs.
struct ServiceCatalog: Sendable {
  var methods: [RPCMethodSignature]

  static let standard = ServiceCatalog(
    methods: Containerd_Task_V2_TaskMethods.all + Containerd_Task_V3_TaskMethods.all
      + Containerd_Services_Events_Ttrpc_V1_EventsMethods.all
      + Containerd_Runtime_Sandbox_V1_SandboxMethods.all
      + Containerd_Services_Sandbox_V1_ControllerMethods.all
      + Containerd_Services_Events_V1_EventsMethods.all + Grpc_Health_V1_HealthMethods.all)

  struct UnknownMethod: Error, CustomStringConvertible {
    let description: String
  }

  /// - Parameter name: `SERVICE/METHOD`, as gRPC's path has it; a slash before it is allowed.
  func method(_ name: String) throws(UnknownMethod) -> RPCMethodSignature {
    let name = name.hasPrefix("/") ? String(name.dropFirst()) : name
    if let found = methods.first(where: { $0.method.path == name }) { return found }
    let pieces = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let services = methods.map(\.method.service)
    guard pieces.count == 2, services.contains(pieces[0]) else {
      let meant = pieces.count == 2 ? Self.likely(pieces[0], services) : nil
      throw UnknownMethod(
        description: pieces.count == 2
          ? "no service \"\(pieces[0])\" is known" + Self.hint(meant.map { "\($0)/\(pieces[1])" })
          : "\"\(name)\" does not name a method as SERVICE/METHOD does" + Self.hint(reading(name)))
    }
    let names = methods.filter { $0.method.service == pieces[0] }.map(\.method.name)
    throw UnknownMethod(
      description: "\(pieces[0]) has no method \"\(pieces[1])\""
        + Self.hint(Self.likely(pieces[1], names).map { "\(pieces[0])/\($0)" }))
  }

  /// What `SERVICE.METHOD` or a method's bare name may have meant.
  private func reading(_ name: String) -> String? {
    let paths = methods.map(\.method.path)
    let dotted = paths.first { $0.split(separator: "/").joined(separator: ".") == name }
    return dotted ?? methods.first { $0.method.name.lowercased() == name.lowercased() }?.method.path
  }

  private static func likely(_ typed: String, _ words: [String]) -> String? {
    Likeness.closest(to: typed, among: words, longest: 80)
      // The end alone, such as `task.v2.Task`.
      ?? words.first { $0.lowercased().hasSuffix(".\(typed.lowercased())") }
  }

  private static func hint(_ meant: String?) -> String {
    meant.map { ". Did you mean \($0)?" } ?? ". hawse call --list shows what can be called"
  }

  // MARK: - Messages that travel in an Any

  private static let packed: [any Message.Type] = [
    Containerd_Events_TaskCreate.self, Containerd_Events_TaskStart.self,
    Containerd_Events_TaskDelete.self, Containerd_Events_TaskIO.self,
    Containerd_Events_TaskExit.self, Containerd_Events_TaskOOM.self,
    Containerd_Events_TaskExecAdded.self, Containerd_Events_TaskExecStarted.self,
    Containerd_Events_TaskPaused.self, Containerd_Events_TaskResumed.self,
    Containerd_Events_TaskCheckpointed.self,
    Containerd_Events_SandboxCreate.self, Containerd_Events_SandboxStart.self,
    Containerd_Events_SandboxExit.self,
    Io_Containerd_Cgroups_V1_Metrics.self, Io_Containerd_Cgroups_V2_Metrics.self,
    Containerd_Runc_V1_Options.self, Containerd_Runc_V1_CheckpointOptions.self,
    Containerd_Runc_V1_ProcessDetails.self, Runtimeoptions_V1_Options.self,
    Google_Protobuf_Empty.self, Google_Protobuf_Timestamp.self, Google_Protobuf_Duration.self,
    Google_Protobuf_StringValue.self, Google_Protobuf_BytesValue.self,
    Google_Protobuf_BoolValue.self, Google_Protobuf_Int32Value.self,
    Google_Protobuf_Int64Value.self, Google_Protobuf_UInt32Value.self,
    Google_Protobuf_UInt64Value.self,
  ]

  private static let packedByName: [String: any Message.Type] = packed.reduce(into: [:]) {
    $0[$1.protoMessageName] = $1
  }

  /// The message that a type URL names, with or without a prefix.
  static func message(at url: String) -> (any Message.Type)? {
    packedByName[url.split(separator: "/").last.map(String.init) ?? ""]
  }
}
