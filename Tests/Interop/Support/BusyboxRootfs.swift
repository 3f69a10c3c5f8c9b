import Glibc
import ProcessSupervision
import Testing

/// A root file system of busybox, made once for all tests of this process and removed at its end.
/// Containers have it bind-mounted and change nothing in it.
enum BusyboxRootfs {
  private static let made = Task { try await make() }

  static func path() async throws -> String { try await made.value }

  private static func make() async throws -> String {
    try RealPeers.require()
    var template = Array("/tmp/hawse-rootfs-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil, "mkdtemp: errno \(errno)")
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    madePath.set(path)
    atexit { BusyboxRootfs.remove() }
    for name in ["bin", "dev", "proc", "sys", "tmp", "etc", "root"] {
      mkdir("\(path)/\(name)", name == "tmp" ? 0o1777 : 0o755)
    }
    chmod(path, 0o755)
    try await run("/bin/cp", "/bin/busybox", "\(path)/bin/busybox")
    try await run("/usr/sbin/chroot", path, "/bin/busybox", "--install", "-s", "/bin")
    return path
  }

  private static func run(_ program: String, _ arguments: String...) async throws {
    let output = try await Command(program, arguments: arguments).run(timeout: .seconds(60))
    try #require(
      output.status.isSuccess,
      "\(program): \(String(decoding: output.standardError, as: UTF8.self))")
  }

  /// For the process's end, since a handler of atexit(3) can capture nothing.
  private static let madePath = Guarded<String?>(nil)

  private static func remove() {
    guard let path = madePath.value else { return }
    for name in HostFiles.tree(path).reversed() {
      if HostFiles.type(name) == S_IFDIR { rmdir(name) } else { unlink(name) }
    }
    rmdir(path)
  }
}

/// The programs that are not ours.
enum RealPeers {
  static let shim = "/usr/bin/containerd-shim-runc-v2"

  struct Missing: Error, CustomStringConvertible {
    var path: String
    var description: String {
      "\(path) is not installed, and this test needs the real one: run Scripts/setup, as root"
    }
  }

  /// - Throws: ``Missing``: a test that cannot find its peer fails.
  static func require() throws {
    for path in [shim, "/usr/sbin/runc", "/bin/busybox"] where access(path, X_OK) != 0 {
      throw Missing(path: path)
    }
  }
}
