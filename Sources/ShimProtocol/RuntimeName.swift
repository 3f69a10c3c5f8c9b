/// A runtime as containerd names it: `io.containerd.runc.v2`, or the path of a shim binary
/// (containerd `pkg/shim`, `core/runtime/v2`).
public struct RuntimeName: Hashable, Sendable {
  /// What the name stands for.
  public enum Binary: Hashable, Sendable {
    /// The name of a file to search for, such as `containerd-shim-runc-v2`.
    case named(String)
    /// An absolute path.
    case at(path: String)
  }

  /// The name as it was given.
  public let text: String
  public let binary: Binary

  /// Parses a runtime's name. The binary is `containerd-shim-` and the last two of its parts.
  ///
  /// - Throws: `.invalidRuntimeName` for an empty name, a relative path, fewer than two parts, an
  ///   empty part, and characters that no such name has.
  public init(_ text: String) throws(ShimProtocolError) {
    func invalid(_ fault: String) -> ShimProtocolError {
      ShimProtocolError(
        code: .invalidRuntimeName,
        message: "\(quoted(text)) is not a runtime: \(fault). Write a name such as "
          + "io.containerd.runc.v2, or the absolute path of a shim binary")
    }
    guard !text.isEmpty else { throw invalid("it is empty") }
    guard text.utf8.count <= 4095, !text.unicodeScalars.contains(where: isControl) else {
      throw invalid("it is too long, or has control characters")
    }
    self.text = text
    if text.hasPrefix("/") {
      guard !text.hasSuffix("/") else { throw invalid("it is the path of a directory") }
      binary = .at(path: text)
      return
    }
    guard !text.utf8.contains(UInt8(ascii: "/")) else {
      throw invalid("it is a path that is not absolute")
    }
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 2 else { throw invalid("it has fewer than two parts") }
    guard parts.allSatisfy({ !$0.isEmpty }) else { throw invalid("one of its parts is empty") }
    guard !text.unicodeScalars.contains(where: \.properties.isWhitespace) else {
      throw invalid("it has spaces")
    }
    binary = .named("containerd-shim-\(parts[parts.count - 2])-\(parts[parts.count - 1])")
  }
}
