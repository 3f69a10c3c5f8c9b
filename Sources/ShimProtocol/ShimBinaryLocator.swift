internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Finds the binaries of runtimes, and refuses those that somebody else could change.
///
/// The search goes through PATH and then the directory of this program (containerd
/// `resolveRuntimePath`), but never through the current directory, and not through entries of PATH
/// that are empty or relative, which mean the same. What was found is remembered, checked again each
/// time, and searched for again once it has vanished. All functions block for as long as the disk
/// takes.
public final class ShimBinaryLocator: Sendable {
  /// Absolute directories, in the order of the search.
  public let directories: [String]
  private let found = Mutex<[String: String]>([:])

  /// - Parameters:
  ///   - searchPath: Directories with colons between them; this process's PATH unless given.
  ///   - programDirectory: Where this program is, unless given.
  public init(searchPath: String? = nil, programDirectory: String? = nil) {
    var directories: [String] = []
    let path = searchPath ?? getenv("PATH").map { String(cString: $0) } ?? ""
    let own = programDirectory ?? Self.ownDirectory()
    for directory in path.split(separator: ":").map(String.init) + [own].compactMap({ $0 })
    where directory.hasPrefix("/") && !directories.contains(directory) {
      directories.append(directory)
    }
    self.directories = directories
  }

  /// The absolute path of a runtime's shim binary.
  ///
  /// - Throws: `.binaryNotFound`, which names what was searched; `.unsafeBinary` for one that is not
  ///   root's or this user's, that its group or others can write, or that is in a directory (or below
  ///   one) of which that holds.
  public func locate(_ runtime: RuntimeName) throws(ShimProtocolError) -> String {
    switch runtime.binary {
    case .at(let path):
      guard let fault = Self.whyNotExecutable(path) else {
        try BinarySafety.check(path)
        return path
      }
      throw ShimProtocolError(
        code: .binaryNotFound, message: "the shim binary \(path) cannot be run: \(fault)")
    case .named(let name):
      if let path = found.withLock({ $0[name] }), Self.whyNotExecutable(path) == nil {
        try BinarySafety.check(path)
        return path
      }
      let path = try search(for: name, runtime)
      found.withLock { $0[name] = path }
      return path
    }
  }

  private func search(
    for name: String, _ runtime: RuntimeName
  ) throws(ShimProtocolError) -> String {
    var passedOver = ""
    for directory in directories {
      let path = directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
      if let fault = Self.whyNotExecutable(path) {
        if fault != Self.absent { passedOver += "; \(path) was passed over, because \(fault)" }
        continue
      }
      try BinarySafety.check(path)
      return path
    }
    let searched = directories.isEmpty ? "nothing" : directories.joined(separator: ", ")
    throw ShimProtocolError(
      code: .binaryNotFound,
      message:
        "the runtime \(runtime.text) is not installed: there is no \(name) in PATH or beside "
        + "this program (searched \(searched))\(passedOver)")
  }

  private static let absent = "it does not exist"

  private static func whyNotExecutable(_ path: String) -> String? {
    var status = stat()
    guard stat(path, &status) == 0 else {
      return errno == ENOENT || errno == ENOTDIR ? absent : "\(SystemError.last("stat"))"
    }
    guard status.st_mode & S_IFMT == S_IFREG else { return "it is not a regular file" }
    // For root, access(2) is content with any x bit: so is execve(2).
    guard access(path, X_OK) == 0 else { return "it is not executable" }
    return nil
  }

  /// Nil without /proc: then PATH alone is searched.
  private static func ownDirectory() -> String? {
    guard let path = try? linkTarget("/proc/self/exe"),
      let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    else { return nil }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
