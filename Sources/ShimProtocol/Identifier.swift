/// Ids and namespaces, which become names of directories (containerd `pkg/identifiers`).
public enum Identifier {
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    case id
    case execID = "exec id"
    case namespace
    case sandboxID = "sandbox id"
  }

  /// The greatest length, in bytes.
  public static let maximumLength = 76

  /// Checks that `text` is letters and digits of ASCII, in groups with one of `.`, `_` and `-`
  /// between two of them, 1 to 76 bytes in all.
  ///
  /// - Throws: `.invalidIdentifier`, which names the fault and where it is.
  public static func validate(_ text: String, as kind: Kind) throws(ShimProtocolError) {
    func invalid(_ fault: String) -> ShimProtocolError {
      ShimProtocolError(
        code: .invalidIdentifier,
        message: "\(quoted(text)) is not a valid \(kind.rawValue): \(fault). It must be 1 to "
          + "\(maximumLength) letters and digits, with single . _ or - between them")
    }
    guard !text.isEmpty else { throw invalid("it is empty") }
    guard text.utf8.count <= maximumLength else {
      throw invalid("it has \(text.utf8.count) bytes")
    }
    var separated = true
    for (position, byte) in text.utf8.enumerated() {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        separated = false
      case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        guard !separated else {
          throw invalid(
            position == 0
              ? "it begins with a separator" : "two separators meet at byte \(position)")
        }
        separated = true
      default:
        throw invalid("byte \(position) is neither a letter, a digit nor a separator")
      }
    }
    guard !separated else { throw invalid("it ends with a separator") }
  }
}
