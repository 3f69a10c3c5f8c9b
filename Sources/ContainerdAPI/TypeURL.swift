// For Data, which is what SwiftProtobuf keeps bytes in.
internal import FoundationEssentials
public import SwiftProtobuf

/// Packing and unpacking of `google.protobuf.Any` as containerd does it (github.com/containerd/
/// typeurl): a protobuf message is named by its bare full name, such as `containerd.events.TaskExit`,
/// without the `type.googleapis.com/` that protobuf itself puts before it; what is not a message is
/// JSON under a URL of containerd's own. On reading, any prefix is accepted.
public enum TypeURL {
  /// JSON of an OCI runtime specification.
  public static let ociSpec = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
  /// JSON of an OCI process: what `Exec` takes.
  public static let ociProcess = "types.containerd.io/opencontainers/runtime-spec/1/Process"
  /// JSON of OCI resource limits: what `Update` takes.
  public static let ociResources =
    "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"

  /// The URL that containerd gives to messages of a type.
  public static func of<M: Message>(_ type: M.Type) -> String {
    M.protoMessageName
  }

  /// Whether a URL names a message type, whatever stands before the name.
  public static func names<M: Message>(_ url: String, _ type: M.Type) -> Bool {
    guard let slash = url.utf8.lastIndex(of: UInt8(ascii: "/")) else {
      return url == M.protoMessageName
    }
    return url[url.utf8.index(after: slash)...] == M.protoMessageName
  }

  /// Puts a message into an Any.
  ///
  /// - Throws: `.notEncodable` when the message cannot be encoded, as when it is larger than 2 GiB.
  public static func pack(
    _ message: some Message
  ) throws(ContainerdAPIError) -> Google_Protobuf_Any {
    var packed = Google_Protobuf_Any()
    packed.typeURL = of(type(of: message))
    do {
      packed.value = try message.serializedBytes()
    } catch {
      throw ContainerdAPIError(
        code: .notEncodable, message: "a \(packed.typeURL) could not be encoded", cause: error)
    }
    return packed
  }

  /// Puts JSON into an Any, under one of containerd's own URLs. The text is not looked at.
  public static func pack(json: [UInt8], as url: String) -> Google_Protobuf_Any {
    var packed = Google_Protobuf_Any()
    packed.typeURL = url
    packed.value = Data(json)
    return packed
  }

  /// Takes a message out of an Any.
  ///
  /// - Throws: `.unexpectedType` when the Any names another type, `.damaged` when its bytes are not
  ///   such a message.
  public static func unpack<M: Message>(
    _ packed: Google_Protobuf_Any, as type: M.Type = M.self
  ) throws(ContainerdAPIError) -> M {
    guard names(packed.typeURL, type) else {
      let held = packed.typeURL.isEmpty ? "nothing" : "\"\(packed.typeURL)\""
      throw ContainerdAPIError(
        code: .unexpectedType, message: "expected a \(of(type)) in an Any, which holds \(held)")
    }
    do {
      return try M(serializedBytes: packed.value)
    } catch {
      throw ContainerdAPIError(
        code: .damaged,
        message: "an Any says that it holds a \(of(type)), but its bytes are none", cause: error)
    }
  }
}
