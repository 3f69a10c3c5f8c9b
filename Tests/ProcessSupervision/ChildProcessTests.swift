import Glibc
import ProcessSupervision
import Testing

@Suite struct ChildProcessTests {
  @Test("any number of tasks may wait, also after the end")
  func manyWaiters() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let waiters = (0..<10).map { _ in Task { try await child.wait() } }
    child.signal(SIGTERM)
    for waiter in waiters { #expect(try await waiter.value == .signalled(SIGTERM)) }
    #expect(try await child.wait() == .signalled(SIGTERM))
  }

  @Test("cancelling a wait ends the wait and not the process")
  func cancelledWait() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let task = Task { await code { () throws(ProcessError) in _ = try await child.wait() } }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(ProcessIdentity(pid: child.pid) != nil)
    #expect(child.signal(SIGKILL))
    #expect(try await child.wait() == .signalled(SIGKILL))
  }

  @Test("a wait with a limit ends with the process, or with the limit, and leaves no descriptor")
  func limitedWait() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    #expect(try await child.wait(within: .milliseconds(20)) == nil)
    #expect(try await child.wait(within: .zero) == nil)
    let before = entries(of: "/proc/self/fd").count
    let task = Task {
      await code { () throws(ProcessError) in _ = try await child.wait(within: generous) }
    }
    task.cancel()
    #expect(await task.value == .cancelled)
    #expect(entries(of: "/proc/self/fd").count == before)
    let waiting = Task { try await child.wait(within: generous) }
    child.signal(SIGTERM)
    #expect(try await waiting.value == .signalled(SIGTERM))
    #expect(try await child.wait(within: generous) == .signalled(SIGTERM))
  }

  @Test("a signal after the end goes nowhere")
  func signalAfterEnd() async throws {
    let child = try Command("/bin/true").spawn()
    _ = try await child.wait()
    #expect(!child.signal(SIGKILL))
    #expect(!child.signalGroup(SIGKILL))
  }

  @Test("a signal to the group reaches what the child started")
  func signalGroup() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/pid"
      let child = try shell("sleep 1000 & echo $! > $1.new; mv $1.new $1; wait", [path]).spawn()
      while access(path, F_OK) != 0 { try await Task.sleep(for: .milliseconds(2)) }
      let output = try await Command("/bin/cat", arguments: [path]).run(timeout: generous)
      let pid = try #require(Int32(output.lines[0]))
      let identity = ProcessIdentity(pid: pid)
      #expect(child.signalGroup(SIGKILL))
      #expect(try await child.wait() == .signalled(SIGKILL))
      #expect(await identity?.waitForEnd(within: generous) == true)
    }
  }

  @Test("a status that somebody else collected is an error that says so")
  func stolenStatus() async {
    await #expect(processExitsWith: .success) {
      // With SIGCHLD ignored the kernel throws statuses away.
      signal(SIGCHLD, SIG_IGN)
      let found = await code { () throws(ProcessError) in
        _ = try await Command("/bin/true").spawn().wait()
      }
      guard found == .statusLost else { exit(2) }
    }
  }
}

@Suite struct ProcessIdentityTests {
  @Test("a process is known by its number and its start, and is gone once it is a zombie")
  func lifeAndDeath() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let identity = try #require(ProcessIdentity(pid: child.pid))
    #expect(identity.isAlive)
    #expect(ProcessStatus(pid: child.pid)?.name == "sleep")
    #expect(ProcessStatus.executable(of: child.pid)?.hasSuffix("/sleep") == true)
    #expect(await identity.waitForEnd(within: .milliseconds(5)) == false)
    #expect(identity.signal(SIGKILL))
    #expect(await identity.waitForEnd(within: generous))
    #expect(!identity.signal(SIGKILL))
  }

  @Test("another process with the same number is not taken for it")
  func reusedNumber() {
    let own = ProcessIdentity(pid: getpid())
    #expect(own?.isAlive == true)
    let earlier = ProcessIdentity(pid: getpid(), startTime: 1)
    #expect(!earlier.isAlive)
    #expect(!earlier.signal(0))
  }

  @Test("numbers that are no process have no identity", arguments: [0, -1, Int32.max])
  func noProcess(_ pid: Int32) {
    #expect(ProcessIdentity(pid: pid) == nil)
    #expect(ProcessStatus(pid: pid) == nil)
    #expect(ProcessStatus.executable(of: pid) == nil)
  }

  @Test("a program's name may hold what separates the line's fields")
  func oddName() async throws {
    try await withTemporaryDirectory { directory in
      let name = "a) S 1 (b"
      let copied = try await Command(
        "/bin/cp", arguments: ["/bin/sleep", "\(directory)/\(name)"]
      ).run(timeout: generous)
      #expect(copied.status.isSuccess)
      let child = try Command("\(directory)/\(name)", arguments: ["1000"]).spawn()
      let status = try #require(ProcessStatus(pid: child.pid))
      #expect(status.name == name)
      #expect(status.parent == getpid())
      child.signal(SIGKILL)
      _ = try await child.wait()
    }
  }
}
