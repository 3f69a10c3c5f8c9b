internal import Glibc
internal import LinuxSystem

/// Where Hawsepipe keeps what it must find again: bundles, locks, the events socket.
///
/// Two trees, as containerd has them: `state` is lost at a reboot (bundles, sockets), `root` survives
/// it (work directories). Bundles lie where containerd's runtime plugin would put them, so that each
/// program can read what the other wrote:
///
/// ```
/// <state>/io.containerd.runtime.v2.task/<namespace>/<id>    the bundle
/// <state>/locks/<namespace>:<id>                            one lock a bundle
/// <state>/events.sock                                       where shims send their events
/// <root>/io.containerd.runtime.v2.task/<namespace>/<id>     the bundle's work directory
/// ```
public struct StateDirectory: Hashable, Sendable {
  public static let defaultState = "/run/hawsepipe"
  public static let defaultRoot = "/var/lib/hawsepipe"
  /// The name of containerd's plugin whose layout this is.
  static let runtimePlugin = "io.containerd.runtime.v2.task"

  public let state: String
  public let root: String

  /// Names the two directories. Nothing is looked at or made before ``open()``.
  public init(
    state: String = StateDirectory.defaultState, root: String = StateDirectory.defaultRoot
  ) {
    self.state = PathText.cleaned(state) ?? state
    self.root = PathText.cleaned(root) ?? root
  }

  /// The directory of all namespaces' bundles.
  public var bundles: String { "\(state)/\(Self.runtimePlugin)" }
  /// The directory of all namespaces' work directories.
  public var works: String { "\(root)/\(Self.runtimePlugin)" }
  /// The lock files.
  public var locks: String { "\(state)/locks" }
  /// The path of the unix socket that takes the shims' events.
  public var eventsSocket: String { "\(state)/events.sock" }

  /// The lock of whoever of several processes takes the events.
  var eventsLock: String { "\(locks)/events" }

  public func bundlePath(namespace: String, id: String) -> String {
    "\(bundles)/\(namespace)/\(id)"
  }

  public func workPath(namespace: String, id: String) -> String {
    "\(works)/\(namespace)/\(id)"
  }

  /// Checks both directories and makes what is missing of them. Either all is there afterwards, or
  /// nothing was changed.
  ///
  /// Parents and what shims must pass through get mode 0711, what is for this program alone 0700.
  ///
  /// - Throws: ``ShimManagementError`` with `stateDirectory` for a directory that may not be trusted
  ///   (of another user, reached by a link, writable for all without the sticky bit, not a directory)
  ///   or whose path cannot serve (relative, too long for a socket); `notWritable` for one that
  ///   cannot be written to.
  public func open() throws(ShimManagementError) {
    try checkPaths()
    for path in [state, root] { try Self.check(path, as: path == state ? "state" : "root") }
    var made = MadeDirectories()
    do {
      for path in [state, bundles, root, works] { try made.make(path, mode: 0o711) }
      try made.make(locks, mode: 0o700)
    } catch {
      made.remove()
      throw Self.unusable(error)
    }
  }

  private func checkPaths() throws(ShimManagementError) {
    for path in [state, root] {
      guard PathText.cleaned(path) == path, path != "/" else {
        throw ShimManagementError(
          code: .stateDirectory, message: "the directory \"\(path)\" cannot keep state",
          hint: "Give an absolute path of a directory, without \"..\".")
      }
    }
    // sun_path has 108 bytes, and a NUL ends it.
    let longest = 107
    guard eventsSocket.utf8.count <= longest else {
      throw ShimManagementError(
        code: .stateDirectory,
        message: "the state directory \(state) is too long a path: its socket \(eventsSocket) has "
          + "\(eventsSocket.utf8.count) bytes, and the kernel allows \(longest)",
        hint: "Choose a shorter one with --state.")
    }
  }

  /// Refuses what may not be trusted or written to, before anything is made.
  private static func check(_ path: String, as name: String) throws(ShimManagementError) {
    let fault: DirectoryTrust.Fault?
    do {
      fault = try DirectoryTrust.fault(of: path)
    } catch {
      throw unusable(error)
    }
    let choose = "choose another directory with --\(name)."
    let (what, hint): (String, String)
    switch fault {
    case nil: return
    case .link:
      what = "\(path) is a symbolic link, which somebody else could turn elsewhere"
      hint = "Give the directory that it leads to with --\(name)."
    case .notDirectory:
      what = "\(path) is not a directory"
      hint = "Remove it, or \(choose)"
    case .owner(let owner):
      what = "\(path) belongs to uid \(owner), and this process runs as uid \(geteuid())"
      hint = "Run as its owner, or \(choose)"
    case .worldWritable(let directory):
      what = "\(path) is not safe: everyone may write to \(directory), which has no sticky bit"
      hint = "Run \"chmod o-w \(directory)\", or \(choose)"
    }
    throw ShimManagementError(
      code: .stateDirectory, message: "the \(name) directory \(what)", hint: hint)
  }

  private static func unusable(_ error: SystemError) -> ShimManagementError {
    switch error.errno {
    case EACCES, EPERM, EROFS:
      return ShimManagementError(
        code: .notWritable, message: "the state directory cannot be written to",
        hint: "Run as a user that may write there, or choose others with --state and --root.",
        cause: error)
    default:
      return ShimManagementError(
        code: .stateDirectory, message: "the state directory cannot be used",
        hint: "Mend what is named, or choose others with --state and --root.", cause: error)
    }
  }
}
