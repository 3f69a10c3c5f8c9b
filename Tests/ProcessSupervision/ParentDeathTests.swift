import Glibc
import ProcessSupervision
import Testing

@Suite struct ParentDeathTests {
  @Test("a child with a parent-death signal dies with this process, and not with a thread of it")
  func death() async throws {
    // The other process has nothing of this one's but its number.
    let path = "/tmp/hawse-death-\(getpid())"
    defer { unlink(path) }
    await #expect(processExitsWith: .signal(SIGKILL)) {
      // Spawned from a thread that may end at any time.
      let child = try await Task.detached {
        try Command("/bin/sleep", arguments: ["1000"], parentDeathSignal: SIGKILL).spawn()
      }.value
      usleep(50_000)
      guard ProcessIdentity(pid: child.pid) != nil else { exit(3) }
      try writeFile("/tmp/hawse-death-\(getppid())", "\(child.pid)\n")
      kill(getpid(), SIGKILL)
    }
    let output = try await Command("/bin/cat", arguments: [path]).run(timeout: generous)
    let pid = try #require(Int32(output.lines.first ?? ""))
    if let identity = ProcessIdentity(pid: pid) {
      #expect(await identity.waitForEnd(within: generous))
    }
  }

  @Test("what is no signal is refused", arguments: [0, -1, 65] as [Int32])
  func refused(signal: Int32) async {
    let found = await code { () throws(ProcessError) in
      _ = try Command("/bin/true", parentDeathSignal: signal).spawn()
    }
    #expect(found == .invalidCommand)
  }
}
