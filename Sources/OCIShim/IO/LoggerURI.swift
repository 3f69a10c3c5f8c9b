/// A `binary://` or `binary-v2://` address of a stream: a program that takes the output of a process.
struct LoggerURI: Hashable, Sendable {
  static let schemes = ["binary://", "binary-v2://"]

  var program: String
  /// The query's names and values, each an argument of its own, in the query's order. Of a name that
  /// is there several times the first value counts.
  var arguments: [String]
  /// `binary-v2`: a program that is ready says so with a byte. With `binary`, closing the descriptor
  /// is enough.
  var saysReady: Bool

  /// - Throws: `invalidOptions`.
  init(_ text: String) throws(OCIShimError) {
    guard let scheme = Self.schemes.first(where: text.hasPrefix) else {
      throw Self.refusal(text, "is no logger's")
    }
    saysReady = scheme == "binary-v2://"
    let rest = text.dropFirst(scheme.count).prefix { $0 != "#" }
    let halves = rest.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    guard let path = Self.decode(halves[0], plusIsSpace: false) else {
      throw Self.refusal(text, "has a path that cannot be decoded")
    }
    guard path.hasPrefix("/"), !path.utf8.contains(0) else {
      throw Self.refusal(text, "names no absolute path of a program")
    }
    program = path
    arguments = []
    var names: Set<String> = []
    for pair in halves.count > 1 ? halves[1].split(separator: "&") : [] {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = Self.decode(parts[0], plusIsSpace: true),
        let value = Self.decode(parts.count > 1 ? parts[1] : "", plusIsSpace: true),
        !name.utf8.contains(0), !value.utf8.contains(0)
      else { throw Self.refusal(text, "has a query that cannot be decoded") }
      if names.insert(name).inserted { arguments += [name, value] }
    }
  }

  private static func refusal(_ text: String, _ why: String) -> OCIShimError {
    OCIShimError(
      code: .invalidOptions, message: "the stdio \"\(text.prefix(200))\" \(why)",
      hint: "Give binary:///path/of/program?name=value.")
  }

  private static func decode(_ text: Substring, plusIsSpace: Bool) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "%"):
        guard rest.count >= 2,
          let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16),
          rest.prefix(2).allSatisfy({ $0 != UInt8(ascii: "+") })
        else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
      case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }
}
