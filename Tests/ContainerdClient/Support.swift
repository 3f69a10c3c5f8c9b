import CLinux
import ContainerdClient
import Glibc
import LinuxSystem
import Testing

/// Against hangs only; nothing here takes a noticeable part of it.
let generous = Duration.seconds(120)

/// A directory of the test's own, gone afterwards with the plain files in it. What else is left in
/// it is an issue: that is how tests see what was not removed.
func withTemporaryDirectory<Value>(
  _ body: (String) async throws -> Value
) async throws -> Value {
  var template = Array("/tmp/hawse-client-XXXXXX".utf8CString)
  try #require(mkdtemp(&template) != nil)
  let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  defer {
    for name in entries(of: path) { unlink("\(path)/\(name)") }
    #expect(rmdir(path) == 0, "left in \(path): \(entries(of: path))")
  }
  return try await body(path)
}

func entries(of path: String) -> [String] {
  // What is not there has none.
  (try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names()) ?? []
}

/// What a shim's side does with the fifos: a shell, whose `$1` and on are the arguments.
struct ShellProcess {
  let pid: Int32

  init(_ script: String, _ arguments: [String?]) throws {
    let strings = ["/bin/sh", "-c", script, "sh"] + arguments.map { $0 ?? "" }
    var pointers = strings.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    var environment = [strdup("PATH=/usr/bin:/bin"), nil]
    defer { free(environment[0]) }
    var pid: Int32 = 0
    var bad: Int32 = -1
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    let map = (0...2).map { clinux_descriptor(source: null, target: Int32($0)) }
    var what = clinux_spawn()
    what.arguments = pointers.withUnsafeMutableBufferPointer { UnsafePointer($0.baseAddress) }
    what.environment = environment.withUnsafeMutableBufferPointer { UnsafePointer($0.baseAddress) }
    what.directory = -1
    let result = "/bin/sh".withCString { path in
      map.withUnsafeBufferPointer { map in
        what.executable = path
        what.descriptors = map.baseAddress
        what.descriptor_count = map.count
        return clinux_spawn(&what, &pid, &bad)
      }
    }
    try #require(result == 0)
    self.pid = pid
  }

  /// The exit code, or 128 and the signal.
  func wait() async throws -> Int32 {
    let pidfd = clinux_pidfd_open(pid)
    try #require(pidfd >= 0)
    defer { close(pidfd) }
    var signalled: Int32 = 0
    var value: Int32 = 0
    while clinux_pidfd_reap(pidfd, 0, &signalled, &value) == 0 {
      try await Task.sleep(for: .milliseconds(2))
    }
    return signalled != 0 ? 128 + value : value
  }

  func kill() { Glibc.kill(pid, SIGKILL) }
}

/// Both ends of a pipe; each is closed by hand or at the end of the test.
final class TestPipe {
  private(set) var reading: Int32 = -1
  private(set) var writing: Int32 = -1

  init() throws { try #require(clinux_pipe(&reading, &writing) == 0) }

  deinit {
    closeReading()
    closeWriting()
  }

  func closeReading() {
    if reading >= 0 { close(reading) }
    reading = -1
  }

  func closeWriting() {
    if writing >= 0 { close(writing) }
    writing = -1
  }
}

func readFile(_ path: String) throws -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return bytes }
    bytes += buffer[..<count]
  }
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  try #require(write(descriptor, bytes, bytes.count) == bytes.count)
}

/// Waits until something is so.
func eventually(_ condition: () -> Bool) async throws {
  let deadline = ContinuousClock.now + generous
  while !condition() {
    try #require(ContinuousClock.now < deadline)
    try await Task.sleep(for: .milliseconds(2))
  }
}

func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) } }
