internal import CLinux
internal import LinuxSystem
internal import ProcessSupervision
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// The command line of an exec address: `arg` for each word, `env` for each `NAME=value`.
struct ExecCommand {
  /// The program as the address names it, for messages. The other words may hold secrets.
  let name: String
  let arguments: [String]
  /// What the address adds to this process's own environment.
  let environment: [String]

  init(_ address: TransportAddress) throws(AttemptFailure) {
    guard case .exec = address.place else {
      throw Self.fault("\(address) is not an exec address", nil)
    }
    let words = address.parameters.filter { $0.name == "arg" }.map(\.value)
    guard let name = words.first, !name.isEmpty else {
      throw Self.fault("there is no command in \(address)", "write it as exec://?arg=ssh&arg=host")
    }
    self.name = name
    self.arguments = Array(words.dropFirst())
    self.environment = address.parameters.filter { $0.name == "env" }.map(\.value)
    guard !words.contains(where: { $0.utf8.contains(0) }) else {
      throw Self.fault("a word of the command has a NUL byte in it", nil)
    }
    for entry in environment {
      // Not quoted: the value may be a secret.
      guard let equals = entry.utf8.firstIndex(of: UInt8(ascii: "=")),
        equals > entry.utf8.startIndex, !entry.utf8.contains(0)
      else { throw Self.fault("an env parameter is not NAME=value", "write env=LANG=C, say") }
    }
  }

  /// What is to be run, with the child's descriptors.
  func command(_ descriptors: [Int32: Int32]) throws(AttemptFailure) -> Command {
    Command(
      try executable(), arguments: arguments, environment: wholeEnvironment,
      grouping: .newGroup, descriptors: descriptors)
  }

  /// This process's environment, as a shell would pass it on, with the address's entries in the place
  /// of those with the same name.
  private var wholeEnvironment: [String] {
    var entries: [String] = []
    var next = clinux_environment()
    while let pointer = next?.pointee {
      entries.append(String(cString: pointer))
      next = next?.successor()
    }
    let names = Set(environment.map(Self.name))
    return entries.filter { $0.contains("=") && !names.contains(Self.name(of: $0)) } + environment
  }

  private static func name(of entry: String) -> Substring {
    entry.prefix { $0 != "=" }
  }

  // MARK: The program's file

  /// A name without a slash is looked for in PATH, in its absolute directories only: a command must
  /// not come from wherever this process happens to stand.
  private func executable() throws(AttemptFailure) -> String {
    guard !name.utf8.contains(UInt8(ascii: "/")) else { return name }
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    var found: String?
    for directory in path.split(separator: ":") where directory.utf8.first == UInt8(ascii: "/") {
      let candidate = directory + "/" + name
      var status = stat()
      guard stat(candidate, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { continue }
      if access(candidate, X_OK) == 0 { return candidate }
      found = found ?? candidate
    }
    if let found {
      throw Self.fault("\(found) may not be executed", "check its mode", errno: EACCES)
    }
    throw Self.fault(
      "there is no program \(name.debugDescription) in PATH (\(path))",
      "install it, or give its path", errno: ENOENT)
  }

  private static func fault(
    _ message: String, _ hint: String?, errno: Int32 = EINVAL
  ) -> AttemptFailure {
    AttemptFailure(phase: .connect, errno: errno, message: message, outlook: .fatal, hint: hint)
  }
}
