/// The other files of a bundle: one value each.
extension BundleFiles {
  public static let sandboxFile = "sandbox"
  public static let shimBinaryPathFile = "shim-binary-path"
  public static let configFile = "config.json"
  /// The largest `config.json` that is read: 8 MiB.
  public static let maximumConfigSize = 8 << 20

  /// Writes the id of the sandbox that a task was attached to, mode 0600.
  public func writeSandboxID(_ id: String) throws(ShimProtocolError) {
    try Identifier.validate(id, as: .sandboxID)
    try writeAtomically(Self.sandboxFile, Array(id.utf8), mode: 0o600)
  }

  /// - Throws: `.missingFile` for a task that was not attached, `.damagedFile` when it is no id.
  public func readSandboxID() throws(ShimProtocolError) -> String {
    let id = try readText(Self.sandboxFile, limit: 1024)
    do {
      try Identifier.validate(id, as: .sandboxID)
    } catch {
      throw damaged(Self.sandboxFile, error)
    }
    return id
  }

  /// Writes where the shim's binary is, mode 0600.
  public func writeShimBinaryPath(_ binary: String) throws(ShimProtocolError) {
    try checkBinaryPath(binary)
    try writeAtomically(Self.shimBinaryPathFile, Array(binary.utf8), mode: 0o600)
  }

  /// - Throws: `.missingFile` for a task that was attached, `.damagedFile` when it is no absolute path.
  public func readShimBinaryPath() throws(ShimProtocolError) -> String {
    let binary = try readText(Self.shimBinaryPathFile, limit: 4096)
    do {
      try checkBinaryPath(binary)
    } catch {
      throw damaged(Self.shimBinaryPathFile, error)
    }
    return binary
  }

  /// Writes a process id in decimal, mode 0644.
  public func writePID(_ pid: Int32, to name: String) throws(ShimProtocolError) {
    guard pid > 0 else {
      throw ShimProtocolError(code: .invalidArgument, message: "\(pid) is no process id")
    }
    try writeAtomically(name, Array(String(pid).utf8), mode: 0o644)
  }

  /// Reads a process id in decimal, which one newline may follow.
  public func readPID(from name: String) throws(ShimProtocolError) -> Int32 {
    let text = try readText(name, limit: 64)
    let digits = text.hasSuffix("\n") ? text.dropLast() : text[...]
    guard digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
      let pid = Int32(digits), pid > 0
    else {
      throw damaged(
        name,
        ShimProtocolError(code: .invalidArgument, message: "\(quoted(text)) is no process id"))
    }
    return pid
  }

  /// The OCI specification, as it is.
  public func readConfig() throws(ShimProtocolError) -> [UInt8] {
    try read(Self.configFile, limit: Self.maximumConfigSize)
  }

  private func readText(_ name: String, limit: Int) throws(ShimProtocolError) -> String {
    let bytes = try read(name, limit: limit)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw damaged(
        name,
        ShimProtocolError(code: .invalidArgument, message: "it is not text: \(quoted(bytes))"))
    }
    return text
  }

  private func checkBinaryPath(_ binary: String) throws(ShimProtocolError) {
    guard binary.hasPrefix("/"), !binary.unicodeScalars.contains(where: isControl) else {
      throw ShimProtocolError(
        code: .invalidArgument, message: "\(quoted(binary)) is not an absolute path")
    }
  }
}
