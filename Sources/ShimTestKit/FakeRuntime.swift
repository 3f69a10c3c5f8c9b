internal import Glibc
internal import LinuxSystem

/// An OCI runtime in place of runc, for tests without root: a program whose containers are plain
/// processes of the host, and which can be told to wait or to fail.
///
/// Its path goes where the runtime's name goes: ``program``. A container's init waits until `start`,
/// as runc's does, and then is ``initScript``; an exec is ``execScript``.
public final class FakeRuntime: Sendable {
  private let directory: ScratchDirectory

  /// - Parameter script: what the runtime does, in the shell's language, with `$op` (`create`,
  ///   `start`, …), `$id`, `$bundle`, `$pidfile`, `$log` and `$here` (the runtime's own directory) set
  ///   from its command line, and a function `fail MESSAGE`, which ends it as runc fails. `nil`:
  ///   containers that are processes.
  /// - Throws: `system`.
  public init(script: String? = nil) throws(ShimTestKitError) {
    directory = try ScratchDirectory()
    _ = try directory.makeDirectory("containers")
    try directory.write("init", "exec sleep 3600\n")
    try directory.write("exec", "exit 0\n")
    try directory.write(
      "runtime", Self.head + (script ?? Self.processes) + "\n", mode: 0o755)
  }

  /// The runtime's path.
  public var program: String { "\(directory.path)/runtime" }
  /// Where it may keep its state: what `--root` may be.
  public var root: String { "\(directory.path)/root" }

  /// What a container's init does once it is started, in the shell's language; it has `$id`.
  ///
  /// - Throws: `system`.
  public func setInitScript(_ script: String) throws(ShimTestKitError) {
    try directory.write("init", script + "\n")
  }

  /// What a process that is added to a container does, in the shell's language; it has `$id`.
  ///
  /// - Throws: `system`.
  public func setExecScript(_ script: String) throws(ShimTestKitError) {
    try directory.write("exec", script + "\n")
  }

  /// Has an operation wait, before it does anything, until ``release(_:)``.
  ///
  /// - Throws: `system`.
  public func hold(_ operation: String) throws(ShimTestKitError) {
    try directory.write("hold-\(operation)", "")
  }

  /// - Throws: `system`.
  public func release(_ operation: String) throws(ShimTestKitError) {
    try directory.remove("hold-\(operation)")
  }

  /// Has an operation fail from now on, with an error in its log as runc writes them. It does nothing
  /// else.
  ///
  /// - Throws: `system`.
  public func fail(_ operation: String, _ message: String) throws(ShimTestKitError) {
    try directory.write("fail-\(operation)", message)
  }

  /// Has an operation do its work again.
  ///
  /// - Throws: `system`.
  public func mend(_ operation: String) throws(ShimTestKitError) {
    try directory.remove("fail-\(operation)")
  }

  /// The command lines that it was run with, in their order.
  ///
  /// - Throws: `system`.
  public func calls() throws(ShimTestKitError) -> [String] {
    try (directory.read("calls") ?? "").split(separator: "\n").map(String.init)
  }

  /// Waits until the runtime has been run for an operation, such as one that is held.
  ///
  /// - Throws: `timedOut`, with its calls; `system`.
  public func waitForCall(
    of operation: String, within limit: Duration = .seconds(60)
  ) async throws {
    let end = ContinuousClock.now + limit
    while try !calls().contains(where: { $0.split(separator: " ").contains { $0 == operation } }) {
      guard ContinuousClock.now < end else {
        throw ShimTestKitError(
          code: .timedOut,
          message: "the runtime was not run for \(operation) within \(limit), only as "
            + (try calls().joined(separator: "; ")))
      }
      // Another process writes them.
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  /// The containers that were created and not deleted, sorted.
  ///
  /// - Throws: `system`.
  public func containers() throws(ShimTestKitError) -> [String] {
    do {
      return try OwnedDescriptor(
        opening: "\(directory.path)/containers", O_RDONLY | O_DIRECTORY
      ).names().sorted()
    } catch {
      throw ShimTestKitError(
        code: .system, message: "cannot read \(directory.path)/containers", cause: error)
    }
  }

  /// Reads the command line, and does what ``hold(_:)`` and ``fail(_:_:)`` say.
  private static let head = #"""
    #!/bin/sh
    here=${0%/*}
    echo "$*" >> "$here/calls"
    op= log=/dev/null pidfile= bundle= id= signal=
    while [ $# -gt 0 ]; do
      case "$1" in
        --root|--log-format|--process|--console-socket|--format|--criu) shift ;;
        --log) shift; log=$1 ;;
        --pid-file) shift; pidfile=$1 ;;
        --bundle) shift; bundle=$1 ;;
        --*) ;;
        *) if [ -z "$op" ]; then op=$1; elif [ -z "$id" ]; then id=$1; else signal=$1; fi ;;
      esac
      shift
    done
    fail() { echo "{\"level\":\"error\",\"msg\":\"$1\"}" >> "$log"; exit 1; }
    while [ -e "$here/hold-$op" ]; do sleep 0.01; done
    [ ! -e "$here/fail-$op" ] || fail "$(cat "$here/fail-$op")"

    """#

  private static let processes = #"""
    own=$here/containers/$id
    [ "$op" = create ] || [ -z "$id" ] || [ -d "$own" ] || fail "container does not exist"
    export here id
    case "$op" in
      create)
        mkdir "$own" 2>/dev/null || fail "container with given ID already exists"
        mkfifo "$own/start"
        sh -c 'read go < "$here/containers/$id/start" && exec sh "$here/init"' &
        echo $! > "$own/init"
        echo $! > "$pidfile" ;;
      start) echo go > "$own/start" ;;
      exec)
        sh "$here/exec" &
        echo $! > "$pidfile" ;;
      kill) kill -"$signal" "$(cat "$own/init")" 2>/dev/null || fail "process already finished" ;;
      ps) echo "[$(cat "$own/init")]" ;;
      delete)
        kill -9 "$(cat "$own/init")" 2>/dev/null
        rm -r "$own" ;;
      features) echo '{"ociVersionMin":"1.0.0","ociVersionMax":"1.1.0"}' ;;
      --version) echo "fake runtime version 1.0.0" ;;
    esac
    exit 0
    """#
}
