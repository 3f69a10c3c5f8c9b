internal import ShimProtocol

/// The environment that shims get beside the start contract's own: containerd's `env` setting of its
/// shim manager. It wins over what is inherited and over the contract.
///
/// containerd gives it to `start` alone, so that a `delete` of the same shim may look for its runtime
/// somewhere else. Here it is kept in the bundle (`shim.env`), and both get the same, also when the
/// setting has changed since.
public struct ShimEnvironment: Sendable, Hashable {
  public var variables: [String: String]

  public init(_ variables: [String: String] = [:]) { self.variables = variables }

  /// - Parameter settings: `NAME=value` each; of a name that is there twice the last counts.
  /// - Throws: `invalidEnvironment` for what is no such thing, or what no file of lines can keep.
  public init(settings: [String]) throws(ShimManagementError) {
    variables = [:]
    for setting in settings {
      guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex,
        !setting.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "\n") })
      else {
        throw ShimManagementError(
          code: .invalidEnvironment,
          message: "\"\(setting.prefix(64))\" cannot be set in shims' environment",
          hint: "Write NAME=value, on one line.")
      }
      variables[String(setting[..<equals])] = String(setting[setting.index(after: equals)...])
    }
  }

  /// As `NAME=value`, sorted.
  public var settings: [String] { variables.map { "\($0.key)=\($0.value)" }.sorted() }

  /// What a configuration of containerd before version 3 has under
  /// `plugins."io.containerd.runtime.v2.task".sched_core`.
  public enum SchedCore: Sendable, Hashable {
    case absent
    case boolean(Bool)
    /// Anything else, as it is written.
    case other(String)
  }

  /// Takes containerd's old setting over: `true` becomes `SCHED_CORE=1`, `false` nothing. A variable
  /// that is set already stays as it is.
  ///
  /// - Returns: what to warn of, when the setting is neither and is passed over.
  public mutating func migrate(schedCore setting: SchedCore) -> String? {
    switch setting {
    case .absent, .boolean(false): return nil
    case .boolean(true):
      if variables["SCHED_CORE"] == nil { variables["SCHED_CORE"] = "1" }
      return nil
    case .other(let text):
      return "sched_core is passed over: it must be true or false, and is \(text.prefix(64))"
    }
  }
}

extension ShimEnvironment {
  static let file = "shim.env"
  /// More than a process can be given in one variable is not read.
  private static let limit = 128 << 10

  /// Keeps it in a bundle; nothing is written when there is nothing in it.
  func write(to bundle: Bundle) throws(ShimManagementError) {
    guard !variables.isEmpty else { return }
    // Once more: it may have been made of a dictionary.
    _ = try ShimEnvironment(settings: settings)
    do {
      // It may have secrets in it.
      try bundle.files.writeAtomically(
        Self.file, Array(settings.map { $0 + "\n" }.joined().utf8), mode: 0o600)
    } catch {
      throw ShimManagementError(
        code: .damagedState, message: "cannot write \(Self.file) of \(bundle.id)", cause: error)
    }
  }

  /// What a bundle has; `nil` if it has none.
  ///
  /// - Throws: `damagedState`, `invalidEnvironment`.
  static func read(from bundle: Bundle) throws(ShimManagementError) -> ShimEnvironment? {
    let bytes: [UInt8]
    do {
      bytes = try bundle.files.read(file, limit: limit)
    } catch {
      if error.code == .missingFile { return nil }
      throw ShimManagementError(
        code: .damagedState, message: "\(bundle.files.path(of: file)) cannot be read", cause: error)
    }
    return try ShimEnvironment(
      settings: String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init))
  }
}
