/// A command line as Go's `flag` package reads it, which is what daemons write for: `-name value`,
/// `-name=value`, one dash or two, `-name` alone for a switch. The first word that is no flag, or what
/// follows `--`, is the action, and nothing behind it is looked at.
struct ShimFlags: Hashable, Sendable {
  var values: [String: String] = [:]
  var switches: Set<String> = []
  /// Nil when there is none.
  var action: String?

  /// Flags with a value (containerd `pkg/shim`); the last two are taken and not used here.
  private static let valued: Set<String> = [
    "namespace", "id", "address", "publish-binary", "bundle", "socket", "debug-socket",
  ]
  private static let switchNames: Set<String> = ["debug", "v", "version", "info"]

  /// - Parameter arguments: without the program's own name.
  /// - Throws: `.invalidArguments`, naming the flag.
  init(_ arguments: some Collection<String>) throws(ShimKitError) {
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      guard argument.utf8.first == UInt8(ascii: "-"), argument.utf8.count > 1 else {
        action = argument
        return
      }
      guard argument != "--" else {
        action = rest.first
        return
      }
      let flag = argument.dropFirst(argument.hasPrefix("--") ? 2 : 1)
      let parts = flag.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts[0])
      let given = parts.count > 1 ? String(parts[1]) : nil
      if Self.switchNames.contains(name) {
        if try Self.isOn(name, given) { switches.insert(name) } else { switches.remove(name) }
      } else if Self.valued.contains(name) {
        guard let value = given ?? rest.popFirst() else {
          throw ShimKitError(code: .invalidArguments, message: "the flag -\(name) needs a value")
        }
        values[name] = value
      } else {
        throw ShimKitError(
          code: .invalidArguments,
          message: "there is no flag \(argument.prefix(100).debugDescription)",
          hint: "This is a shim: containerd runs it, as it is described in its runtime v2 "
            + "documentation.")
      }
    }
  }

  subscript(name: String) -> String { values[name] ?? "" }

  /// The words that Go takes for a boolean.
  private static func isOn(_ name: String, _ value: String?) throws(ShimKitError) -> Bool {
    switch value {
    case nil, "1", "t", "T", "true", "TRUE", "True": return true
    case "0", "f", "F", "false", "FALSE", "False": return false
    case .some(let text):
      throw ShimKitError(
        code: .invalidArguments,
        message: "the flag -\(name) is true or false, not \(text.prefix(100).debugDescription)")
    }
  }
}
