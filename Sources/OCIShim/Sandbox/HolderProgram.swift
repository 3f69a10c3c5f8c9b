internal import CLinux
internal import Glibc
internal import LinuxSystem

/// What this program is when it holds a sandbox's namespaces: one thread that waits for its shim's end.
///
/// It is run by the shim, in namespaces of its own, and does the rest: joins the network, names the
/// host, sets kernel parameters. It says that it is ready by one byte on standard output, or why not in
/// words; and it ends when it is told to, or when standard input does, whose other end is the shim's.
public enum HolderProgram {
  static let word = "hold-sandbox"
  static let ready: UInt8 = 0

  /// Where a program begins that may be run as a holder. It returns when this run is another one.
  public static func runIfAsked() {
    // Not `CommandLine.arguments`: what runs as long as a pod does should touch little memory.
    guard CommandLine.argc > 2, let word = CommandLine.unsafeArgv[1],
      strcmp(word, Self.word) == 0
    else { return }
    run(Array(CommandLine.arguments.dropFirst(2)))
  }

  private static func run(_ arguments: [String]) -> Never {
    clinux_name_thread("hawse-sandbox")
    // As number 1 of a pid namespace it is the parent of orphans: ignored, they leave nothing.
    signal(SIGCHLD, SIG_IGN)
    // Number 1 is not ended by a signal that it does not handle.
    signal(SIGTERM) { _ in _exit(0) }
    for number in [SIGINT, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
    do throws(SystemError) {
      try prepare(arguments)
    } catch {
      let text = Array("\(error)".utf8)
      // The shim takes the exit code for the same.
      _ = text.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
      _exit(1)
    }
    var byte = Self.ready
    if write(STDOUT_FILENO, &byte, 1) != 1 { _exit(1) }
    close(STDOUT_FILENO)
    while true {
      let count = read(STDIN_FILENO, &byte, 1)
      if count == 0 || (count < 0 && errno != EINTR) { _exit(0) }
    }
  }

  /// - Parameter arguments: what it is for, which is for people who look at processes; then
  ///   `net=PATH`, `host=NAME` and `sysctl=NAME=VALUE`.
  private static func prepare(_ arguments: [String]) throws(SystemError) {
    for argument in arguments.dropFirst() {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw SystemError(argument, errno: EINVAL) }
      switch parts[0] {
      case "net":
        let network = try OwnedDescriptor(opening: parts[1], O_RDONLY)
        let result = clinux_join_network(network.number)
        if result < 0 { throw SystemError("setns", parts[1], errno: -result) }
      case "host":
        guard sethostname(parts[1], parts[1].utf8.count) == 0 else { throw .last("sethostname") }
      case "sysctl":
        let pair = parts[1].split(
          separator: "=", maxSplits: 1, omittingEmptySubsequences: false
        ).map(String.init)
        guard pair.count == 2 else { throw SystemError(argument, errno: EINVAL) }
        let path = "/proc/sys/" + pair[0].split(separator: ".").joined(separator: "/")
        let file = try OwnedDescriptor(opening: path, O_WRONLY)
        try file.write(Array(pair[1].utf8))
      default: throw SystemError(argument, errno: EINVAL)
      }
    }
  }
}
