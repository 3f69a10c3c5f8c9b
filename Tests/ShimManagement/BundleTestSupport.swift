import Glibc
import LinuxSystem
import Testing

@testable import ShimManagement

/// A directory for one test, with a state directory in it. What a test mounts below it is unmounted
/// and all is removed when the value goes away, whatever the test did.
final class Scratch: Sendable {
  let path: String
  let state: StateDirectory

  init() throws {
    var template = Array("/tmp/hawsepipe-test-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    state = StateDirectory(state: "\(path)/run", root: "\(path)/lib")
  }

  /// One whose state directory is open.
  static func opened() throws -> Scratch {
    let scratch = try Scratch()
    try scratch.state.open()
    return scratch
  }

  deinit {
    // Deliberately not the code under test, and lazily: nothing of a failed test may stay.
    for point in mountPoints.reversed() { umount2(point, Int32(MNT_DETACH)) }
    run(["/bin/rm", "-rf", "--one-file-system", path])
  }

  /// The mount points at and below the directory.
  var mountPoints: [String] {
    // Unreadable only where there is no /proc; then the mounts of the tests fail too.
    let table = (try? contents("/proc/self/mountinfo")) ?? ""
    return table.split(separator: "\n").map { String($0.split(separator: " ")[4]) }
      .filter { $0 == path || $0.hasPrefix(path + "/") }
  }

  func directory(_ name: String) throws -> String {
    let directory = "\(path)/\(name)"
    try #require(run(["/bin/mkdir", "-p", directory]).status == 0)
    return directory
  }
}

func mountTmpfs(on path: String, options: String? = nil) throws {
  try #require(mount("tmpfs", path, "tmpfs", 0, options) == 0, "errno \(errno)")
}

func bind(_ source: String, on path: String, recursively: Bool = false) throws {
  let flags = UInt(MS_BIND) | (recursively ? UInt(MS_REC) : 0)
  try #require(mount(source, path, nil, flags, nil) == 0, "errno \(errno)")
}

func makeReadOnly(_ path: String) throws {
  try bind(path, on: path)
  let flags = UInt(MS_REMOUNT) | UInt(MS_BIND) | UInt(MS_RDONLY)
  try #require(mount(nil, path, nil, flags, nil) == 0, "errno \(errno)")
}

func write(_ text: String, to path: String) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  try #require(Glibc.write(descriptor, text, text.utf8.count) == text.utf8.count)
}

func contents(_ path: String) throws -> String {
  String(decoding: try SmallFile.read(path, limit: 16 << 20), as: UTF8.self)
}

func status(_ path: String) -> stat? {
  var status = stat()
  return lstat(path, &status) == 0 ? status : nil
}

func exists(_ path: String) -> Bool { status(path) != nil }

/// The permission bits of the path itself; nil if nothing is there.
func mode(_ path: String) -> mode_t? { status(path).map { $0.st_mode & 0o7777 } }

/// All paths below a directory with kind, mode and link target, to compare what was before and after.
func tree(_ path: String) -> [String] {
  run(["/usr/bin/find", path, "-printf", "%P %y %m %l\n"]).output
    .split(separator: "\n").map(String.init).sorted()
}

/// Runs a program to its end, with what it wrote to its standard output and error.
@discardableResult
func run(_ arguments: [String]) -> (status: Int32, output: String) {
  // To a file: what stays in the background must not keep a reader waiting.
  var template = Array("/tmp/hawsepipe-output-XXXXXX".utf8CString)
  let output = mkstemp(&template)
  guard output >= 0 else { return (-1, "mkstemp: \(errno)") }
  defer { close(output) }
  _ = fcntl(output, F_SETFD, FD_CLOEXEC)
  unlink(template)
  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
  posix_spawn_file_actions_adddup2(&actions, output, 1)
  posix_spawn_file_actions_adddup2(&actions, output, 2)
  var words = arguments.map { strdup($0) } + [nil]
  var environment = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
  defer { for word in words + environment { free(word) } }
  var pid: pid_t = 0
  let result = posix_spawn(&pid, arguments[0], &actions, nil, &words, &environment)
  guard result == 0 else { return (-1, "posix_spawn \(arguments[0]): \(result)") }
  var status: Int32 = 0
  _ = retryingInterrupts { waitpid(pid, &status, 0) }
  var text: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 64 << 10)
  while case let count = pread(output, &chunk, chunk.count, off_t(text.count)), count > 0 {
    text += chunk[..<count]
  }
  let code = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
  return (code, String(decoding: text, as: UTF8.self))
}

/// The error of a body that must fail as this module's errors do.
func failure(_ body: () throws -> Void) -> ShimManagementError? {
  do {
    try body()
    Issue.record("nothing was thrown")
  } catch let error as ShimManagementError {
    return error
  } catch {
    Issue.record("another type of error: \(error)")
  }
  return nil
}

func asyncFailure(_ body: () async throws -> Void) async -> ShimManagementError? {
  do {
    try await body()
    Issue.record("nothing was thrown")
  } catch let error as ShimManagementError {
    return error
  } catch {
    Issue.record("another type of error: \(error)")
  }
  return nil
}

let minimalSpec = Array(#"{"process":{"args":["true"]}}"#.utf8)
