internal import JSON

extension OCISpec {
  /// The `PATH` of a process that is given none.
  public static let defaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  /// What keeps a sandbox's namespaces: a shell that sleeps, and ends on SIGTERM at once.
  public static let pauseArgs = [
    "/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done",
  ]

  /// The specification of an ordinary container, as `ctr run` makes one for runc: its own pid, network,
  /// ipc, uts and mount namespaces, containerd's default capabilities, no new privileges, kernel
  /// interfaces masked or read-only, devices denied but for the harmless ones.
  ///
  /// - Parameters:
  ///   - env: `NAME=value` entries; a later one of the same name wins, also over the default `PATH`.
  ///   - rootfs: the root file system: absolute, or relative to the bundle.
  ///   - cgroupsPath: ``defaultCgroupsPath(id:namespace:)`` if nil.
  ///   - hostname: the id if nil.
  /// - Throws: ``ShimManagementError`` with `invalidSpec`: no args, a NUL in what becomes a C string,
  ///   an entry of `env` that is not `NAME=value`, a `cwd` that is not absolute.
  public static func standard(
    id: String, namespace: String, args: [String], env: [String] = [], cwd: String = "/",
    terminal: Bool = false, user: OCIUser = OCIUser(), rootfs: String = "rootfs",
    readonlyRootfs: Bool = false, cgroupsPath: String? = nil, hostname: String? = nil
  ) throws(ShimManagementError) -> OCISpec {
    var spec = OCISpec(document: [
      "ociVersion": "1.0.2",
      "root": [:],
      "mounts": .array(StandardContainer.mounts.map(\.json)),
      "linux": StandardContainer.linux,
      "process": StandardContainer.process,
    ])
    spec.rootPath = rootfs
    spec.isRootReadonly = readonlyRootfs
    spec.hostname = hostname ?? id
    spec.cgroupsPath = cgroupsPath ?? defaultCgroupsPath(id: id, namespace: namespace)
    spec.namespaces = [.pid, .network, .ipc, .uts, .mount].map { OCINamespace($0) }
    // With version 1 runc binds the container's own cgroups in; with version 2 only a namespace hides
    // the host's.
    if CgroupVersion.ofHost == .two { spec.namespaces.append(OCINamespace(.cgroup)) }
    try spec.setProcess(
      args: args, env: merged([defaultPath] + (terminal ? ["TERM=xterm"] : []), env), cwd: cwd,
      terminal: terminal, user: user)
    return spec
  }

  /// One cgroup at the top for each container, so that removing it leaves no parent behind, as
  /// `/<namespace>/<id>` would. Identifiers have no two hyphens in a row: different names give
  /// different paths.
  public static func defaultCgroupsPath(id: String, namespace: String) -> String {
    "/hawsepipe--\(namespace)--\(id)"
  }

  /// Sets the process and checks what it is made of.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidSpec`, as ``standard(id:namespace:args:env:cwd:terminal:user:rootfs:readonlyRootfs:cgroupsPath:hostname:)``.
  public mutating func setProcess(
    args: [String], env: [String], cwd: String, terminal: Bool, user: OCIUser
  ) throws(ShimManagementError) {
    func refusal(_ fault: String, _ hint: String) -> ShimManagementError {
      ShimManagementError(code: .invalidSpec, message: "the process \(fault)", hint: hint)
    }
    guard let program = args.first, !program.isEmpty else {
      throw refusal("has no program to run", "Give a command.")
    }
    guard (args + env + [cwd]).allSatisfy({ !$0.utf8.contains(0) }) else {
      throw refusal("has a NUL in its command, environment or directory", "Take it out.")
    }
    for entry in env where entry.hasPrefix("=") || !entry.contains("=") {
      throw refusal("has \"\(entry)\" in its environment", "Write NAME=value.")
    }
    guard cwd.hasPrefix("/") else {
      throw refusal("has the working directory \"\(cwd)\"", "Give an absolute path.")
    }
    self.args = args
    self.env = env
    self.cwd = cwd
    self.terminal = terminal
    self.user = user
  }

  /// The bare process for `Task.Exec` (the value of an `Any` with ``processTypeURL``): capabilities,
  /// limits and privileges of this specification's process, with another command.
  ///
  /// - Parameters:
  ///   - env: added to the process's own; a later entry of the same name wins.
  ///   - cwd, user: the process's own if nil.
  /// - Throws: ``ShimManagementError`` with `invalidSpec`.
  public func execProcess(
    args: [String], env: [String] = [], cwd: String? = nil, terminal: Bool = false,
    user: OCIUser? = nil
  ) throws(ShimManagementError) -> [UInt8] {
    var spec = self
    let term = terminal && !spec.env.contains { $0.hasPrefix("TERM=") } ? ["TERM=xterm"] : []
    try spec.setProcess(
      args: args, env: Self.merged(spec.env + term, env), cwd: cwd ?? spec.cwd ?? "/",
      terminal: terminal, user: user ?? spec.user)
    return (spec.document["process"] ?? [:]).printed()
  }

  /// The entries of both, a later one of the same name in the place of the earlier.
  public static func merged(_ base: [String], _ added: [String]) -> [String] {
    var entries: [String] = []
    for entry in base + added {
      let name = entry.prefix { $0 != "=" }
      if let index = entries.firstIndex(where: { $0.prefix { $0 != "=" } == name }) {
        entries[index] = entry
      } else {
        entries.append(entry)
      }
    }
    return entries
  }
}
