internal import LinuxSystem
import JSON

/// A mount of a runtime specification, made by the OCI runtime inside the container.
public struct OCIMount: Hashable, Sendable {
  /// Where in the container: absolute.
  public var destination: String
  public var type: String
  public var source: String
  public var options: [String]

  public init(destination: String, type: String, source: String, options: [String] = []) {
    self.destination = destination
    self.type = type
    self.source = source
    self.options = options
  }

  /// Parses the notation of `ctr run --mount`: `type=bind,source=/a,target=/b,options=rbind:ro`.
  ///
  /// `src` is taken for `source`, `dst` and `destination` for `target`; options are divided by colons.
  /// The type is `bind` if none is given; a bind mount without `bind` and `rbind` gets `rbind`.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidSpec`: an unknown or repeated key, a missing
  ///   source or target, a target that is not absolute, is `/` or has a `..`, the same for the source
  ///   of a bind mount. Whether the source is there is not looked at.
  public init(parsing text: String) throws(ShimManagementError) {
    var values: [String: String] = [:]
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2, !pair[1].isEmpty else {
        throw Self.refusal(text, "\"\(part)\" is not key=value")
      }
      guard let key = Self.keys[String(pair[0])] else {
        throw Self.refusal(text, "the key \"\(pair[0])\" is not known")
      }
      guard values.updateValue(String(pair[1]), forKey: key) == nil else {
        throw Self.refusal(text, "it has the key \"\(key)\" twice")
      }
    }
    guard let target = values["target"] else { throw Self.refusal(text, "it has no target") }
    guard let source = values["source"] else { throw Self.refusal(text, "it has no source") }
    let type = values["type"] ?? "bind"
    guard let destination = PathText.cleaned(target), destination != "/" else {
      throw Self.refusal(
        text, "the target \"\(target)\" is not an absolute path below / without \"..\"")
    }
    guard type != "bind" || PathText.cleaned(source) != nil else {
      throw Self.refusal(text, "the source \"\(source)\" is not an absolute path without \"..\"")
    }
    var options = values["options"]?.split(separator: ":").map(String.init) ?? []
    if type == "bind", !options.contains("bind"), !options.contains("rbind") {
      options.insert("rbind", at: 0)
    }
    self.init(destination: destination, type: type, source: source, options: options)
  }

  private static let keys = [
    "type": "type", "source": "source", "src": "source", "target": "target",
    "destination": "target", "dst": "target", "options": "options",
  ]

  private static func refusal(_ text: String, _ fault: String) -> ShimManagementError {
    ShimManagementError(
      code: .invalidSpec, message: "\"\(text)\" is not a mount: \(fault)",
      hint: "Write it like type=bind,source=/host/path,target=/path/inside,options=rbind:ro.")
  }

  var json: JSONValue {
    [
      "destination": .string(destination), "type": .string(type), "source": .string(source),
      "options": JSONValue(strings: options),
    ]
  }
}
