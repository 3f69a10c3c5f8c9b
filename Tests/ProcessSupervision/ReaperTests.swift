import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// In processes of their own: a reaper takes every child that is not a command's, and the test
/// library has such children.
@Suite struct ReaperTests {
  @Test("2,000 orphans and commands mixed: each end is told once, to whom it belongs")
  func mixed() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let exits = reaper.exits()
        let second = reaper.exits()
        let before = entries(of: "/proc/self/fd").count
        // Each command leaves an orphan behind, whose number it prints and whose code it is told.
        try await withThrowingTaskGroup(of: (Int32, Int32).self) { group in
          var expected: [Int32: Int32] = [:]
          for number in 0..<1000 {
            if number >= 16, let (pid, code) = try await group.next() { expected[pid] = code }
            group.addTask {
              let code = Int32(number % 200)
              let output = try await orphan(code: code).run(timeout: generous)
              try need(output.status == .exited(7), "the command's own status")
              return (try unwrap(Int32(output.lines.first ?? "")), code)
            }
          }
          for try await (pid, code) in group { expected[pid] = code }
          for stream in [exits, second] {
            var seen: [Int32: ProcessExit] = [:]
            for await exit in stream {
              try need(seen[exit.pid] == nil, "told twice")
              seen[exit.pid] = exit
              if seen.count == expected.count { break }
            }
            for (pid, code) in expected {
              try need(seen[pid]?.status == .exited(code), "an orphan's own status")
            }
          }
        }
        errno = 0
        try need(waitpid(-1, nil, WNOHANG) == -1 && errno == ECHILD, "a child is left")
        try need(entries(of: "/proc/self/fd").count <= before + 8, "descriptors are left")
      }
    }
  }

  @Test("an end that comes before the number is known is found in the recording")
  func recording() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let marker = reaper.exits()
        let recording = reaper.record()
        let output = try await orphan(code: 3).run(timeout: generous)
        let pid = try unwrap(Int32(output.lines.first ?? ""))
        // A recording has an end before anybody else is told.
        for await exit in marker where exit.pid == pid { break }
        try need(recording.exit(of: pid)?.status == .exited(3), "the end that came before")
        try need(await recording.waitForExit(of: pid)?.status == .exited(3), "waiting after it")
        let waiting = Task { await recording.waitForExit(of: 1) }
        let cancelled = Task { await recording.waitForExit(of: 2) }
        cancelled.cancel()
        try need(await cancelled.value == nil, "a cancelled wait")
        recording.stop()
        try need(await waiting.value == nil, "a wait at the stop")
        try need(recording.exit(of: pid) == nil, "a stopped recording keeps nothing")
      }
    }
  }

  @Test("a recording that began after the end does not know it")
  func lateRecording() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let exits = reaper.exits()
        let output = try await orphan(code: 3).run(timeout: generous)
        let pid = try unwrap(Int32(output.lines.first ?? ""))
        for await exit in exits where exit.pid == pid { break }
        try need(reaper.record().exit(of: pid) == nil, "an end from before")
      }
    }
  }

  @Test("a handler is told on the reaper's thread, with the time of the process's start")
  func handler() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let (ends, continuation) = AsyncStream.makeStream(of: ProcessExit.self)
        reaper.onExit { continuation.yield($0) }
        let output = try await orphan(code: 3).run(timeout: generous)
        let pid = try unwrap(Int32(output.lines.first ?? ""))
        for await end in ends where end.pid == pid {
          try need(end.status == .exited(3) && (end.startTime ?? 0) > 0, "its end")
          break
        }
      }
    }
  }

  @Test("a subscriber that never takes anything hinders nobody")
  func slowSubscriber() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let slow = reaper.exits()
        let quick = reaper.exits()
        var left = Set<Int32>()
        for _ in 0..<100 {
          let output = try await orphan(code: 0).run(timeout: generous)
          left.insert(try unwrap(Int32(output.lines.first ?? "")))
        }
        let all = left
        for await exit in quick {
          left.remove(exit.pid)
          if left.isEmpty { break }
        }
        var late = Set<Int32>()
        for await exit in slow {
          late.insert(exit.pid)
          if late.isSuperset(of: all) { break }
        }
      }
    }
  }

  @Test("an orphan that is stopped and continued is not told of until it is killed")
  func stops() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let exits = reaper.exits()
        let output = try await shell("sleep 1000 >/dev/null 2>&1 & echo $!").run(timeout: generous)
        let pid = try unwrap(Int32(output.lines.first ?? ""))
        for _ in 0..<5 {
          kill(pid, SIGSTOP)
          while ProcessStatus(pid: pid)?.state != "T" { usleep(1000) }
          kill(pid, SIGCONT)
          while ProcessStatus(pid: pid)?.state == "T" { usleep(1000) }
        }
        kill(pid, SIGKILL)
        let first = await exits.first { _ in true }
        try need(first?.pid == pid && first?.status == .signalled(SIGKILL), "the end alone")
        let now = wallClockTime()
        let at = try unwrap(first).at
        try need(at <= now && at > now - .seconds(600), "the end's time")
      }
    }
  }

  @Test("a program that cannot be executed leaves no end to tell, nor a zombie")
  func failedSpawn() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start()
        let exits = reaper.exits()
        for _ in 0..<200 {
          let found = await code { () throws(ProcessError) in
            _ = try Command("/nowhere/at/all").spawn()
          }
          try need(found == .executableNotFound, "the reason")
        }
        let output = try await orphan(code: 0).run(timeout: generous)
        let first = await exits.first { _ in true }
        try need(first.map { "\($0.pid)" } == output.lines.first, "the orphan's end comes first")
        try need(waitpid(-1, nil, WNOHANG) == -1, "a child is left")
      }
    }
  }

  @Test("without being a subreaper, it takes children and no orphans")
  func noSubreaper() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let reaper = try Reaper.start(subreaper: false)
        let exits = reaper.exits()
        let output = try await orphan(code: 0).run(timeout: generous)
        let orphan = try unwrap(Int32(output.lines.first ?? ""))
        var pid: pid_t = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
        try need(posix_spawn(&pid, "/bin/true", nil, nil, &arguments, nil) == 0, "the spawn")
        free(arguments[0])
        try need(await exits.first { _ in true }?.pid == pid, "the child \(pid), not \(orphan)")
      }
    }
  }

  @Test("children of commands from before the start keep their owners")
  func lateStart() async {
    await #expect(processExitsWith: .success) {
      await bounded {
        let children = try (0..<50).map { _ in
          try Command("/bin/sleep", arguments: ["1000"]).spawn()
        }
        let reaper = try Reaper.start()
        let again = try Reaper.start()
        try need(reaper === again, "one reaper")
        for child in children { child.signal(SIGTERM) }
        for child in children {
          try need(try await child.wait() == .signalled(SIGTERM), "a status")
        }
      }
    }
  }
}

/// Leaves a child behind that exits with the code, at once, and whose number it prints. No shell: it
/// may collect a child of its own before it ends.
private func orphan(code: Int32) -> Command {
  Command(
    "/usr/bin/perl",
    arguments: ["-e", "$p = fork; exit $ARGV[0] unless $p; print \"$p\\n\"; exit 7", "\(code)"])
}

private struct Unmet: Error { let what: String }

private func need(_ condition: Bool, _ what: String) throws {
  if !condition { throw Unmet(what: what) }
}

private func unwrap<Value>(_ value: Value?) throws -> Value {
  guard let value else { throw Unmet(what: "a value") }
  return value
}

/// For a process of the test's own: what it throws, and a hang, end it with a failure.
private func bounded(_ body: @escaping @Sendable () async throws -> Void) async {
  alarm(UInt32(generous.components.seconds))
  do {
    try await body()
  } catch {
    print("unmet: \(error)")
    exit(3)
  }
}
