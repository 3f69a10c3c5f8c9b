import Glibc
import ProcessSupervision
import Testing

@testable import ShimKit

@Suite("Where a shim's process stands")
struct ShimPlacementTests {
  /// A hierarchy of plain files, as a control group's directory looks from outside.
  private func withHierarchy(
    _ directories: [String], _ body: (String) async throws -> Void
  ) async throws {
    var template = Array("/tmp/hawse-cgroup-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let root = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    for directory in [""] + directories {
      mkdir("\(root)/\(directory)", 0o755)
      for name in ["cgroup.procs", "cgroup.controllers"] {
        close(open("\(root)/\(directory)/\(name)", O_CREAT | O_WRONLY | O_CLOEXEC, 0o644))
      }
    }
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await body(root))
    } catch {
      outcome = .failure(error)
    }
    _ = try await Command("/bin/rm", arguments: ["-rf", root]).run(timeout: .seconds(60))
    try outcome.get()
  }

  private func text(_ path: String) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
  }

  @Test("with control groups of version 2 there is one place")
  func unified() async throws {
    try await withHierarchy(["shims"]) { root in
      try ShimPlacement.move(4711, intoCgroup: "/shims", root: root)
      #expect(text("\(root)/shims/cgroup.procs") == "4711")
    }
  }

  @Test(
    "a group that cannot be joined is an error that names it", arguments: ["/", "", "/a/../../b"])
  func refused(group: String) async throws {
    try await withHierarchy([]) { root in
      #expect(throws: ShimKitError.self) {
        try ShimPlacement.move(4711, intoCgroup: group, root: root)
      }
    }
  }

  @Test("without control groups, joining one is an error")
  func none() {
    let error = #expect(throws: ShimKitError.self) {
      try ShimPlacement.move(getpid(), intoCgroup: "/shims", root: "/nowhere")
    }
    #expect(error?.description.contains("/shims") == true)
  }

  @Test("a process is one step likelier to be killed for want of memory than this one's parent")
  func score() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    try ShimPlacement.adjustOOMScore(of: child.pid)
    let own = Int(text("/proc/\(getppid())/oom_score_adj").dropLast()) ?? 0
    if geteuid() == 0 {
      #expect(text("/proc/\(child.pid)/oom_score_adj") == "\(min(1000, own + 1))\n")
    }
    child.signal(SIGKILL)
    _ = try await child.wait()
  }

  @Test("taking cores works, or the machine does not have it")
  func cores() async {
    await #expect(processExitsWith: .success) {
      do { try ShimPlacement.takeCores() } catch { exit(3) }
    }
  }
}
