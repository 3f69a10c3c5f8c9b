import Glibc
import ProcessSupervision
import Testing

@Suite struct RunTests {
  @Test("output and errors are kept apart, with the status and the time")
  func captures() async throws {
    let output = try await shell("echo out; echo err >&2; exit 3").run(timeout: generous)
    #expect(output.status == .exited(3))
    #expect(output.standardOutput == Array("out\n".utf8))
    #expect(output.standardError == Array("err\n".utf8))
    #expect(!output.truncated)
    #expect(output.duration > .zero)
  }

  @Test("a death by a signal is told from an exit, and has the shell's code")
  func signalStatus() async throws {
    let output = try await shell("kill -TERM $$").run(timeout: generous)
    #expect(output.status == .signalled(SIGTERM))
    #expect(output.status.code == 143)
    #expect(!output.status.isSuccess)
  }

  @Test("large input and large output pass at the same time")
  func largeBothWays() async throws {
    let input = (0..<(8 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let output = try await Command("/bin/cat")
      .run(input: input, outputLimit: 16 << 20, timeout: generous)
    #expect(output.standardOutput == input)
  }

  @Test("a program that does not read its input disturbs nobody")
  func unreadInput() async throws {
    let input = [UInt8](repeating: 1, count: 4 << 20)
    let output = try await shell("exec <&-; echo done").run(input: input, timeout: generous)
    #expect(output.text == "done\n")
    #expect(output.status.isSuccess)
  }

  @Test("without input a program reads an empty one")
  func emptyInput() async throws {
    #expect(try await Command("/bin/cat").run(timeout: generous).standardOutput.isEmpty)
  }

  @Test(
    "what is over the limit is dropped, and said to be",
    arguments: [
      (0, 0, true), (9, 9, true), (10, 10, false), (11, 10, false),
    ])
  func outputLimit(_ limit: Int, _ kept: Int, _ truncated: Bool) async throws {
    let output = try await shell("printf 0123456789")
      .run(outputLimit: limit, timeout: generous)
    #expect(output.standardOutput == Array("0123456789".utf8.prefix(kept)))
    #expect(output.truncated == truncated)
  }

  @Test("a program that prints far over the limit still ends")
  func floodEnds() async throws {
    let output = try await shell("head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2")
      .run(outputLimit: 1000, timeout: generous)
    #expect(output.standardOutput.count == 1000)
    #expect(output.standardError.count == 1000)
    #expect(output.status.isSuccess)
  }

  @Test("the deadline kills the group, and the error tells the command, the time and its words")
  func deadline() async throws {
    do {
      _ = try await shell("sleep 1000 & echo $! kept; echo why >&2; wait")
        .run(timeout: .milliseconds(500))
      Issue.record("it ended")
    } catch {
      #expect(error.code == .timedOut)
      #expect(error.message.contains("/bin/sh"))
      #expect(error.message.contains("0.5 seconds"))
      #expect(error.message.contains("kept"))
      #expect(error.message.contains("why"))
      let words = String(decoding: error.standardOutput, as: UTF8.self).split(separator: " ")
      let grandchild = try #require(words.first.flatMap { Int32($0) })
      if let identity = ProcessIdentity(pid: grandchild) {
        #expect(await identity.waitForEnd(within: generous))
      }
    }
  }

  @Test("a program that ignores every signal but one does not outlive its deadline")
  func stubborn() async throws {
    let found = await code { () throws(ProcessError) in
      _ = try await shell("trap '' TERM INT HUP; while :; do sleep 1; done")
        .run(timeout: .milliseconds(100))
    }
    #expect(found == .timedOut)
  }

  @Test("cancelling kills the program")
  func cancellation() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/pid"
      let task = Task { () -> ProcessError.Code? in
        await code { () throws(ProcessError) in
          _ = try await shell("echo $$ > $1.new; mv $1.new $1; exec sleep 1000", [path])
            .run(timeout: generous)
        }
      }
      while access(path, F_OK) != 0 { try await Task.sleep(for: .milliseconds(2)) }
      let pid = try #require(
        Int32(try await Command("/bin/cat", arguments: [path]).run(timeout: generous).lines[0]))
      let identity = try #require(ProcessIdentity(pid: pid))
      task.cancel()
      #expect(await task.value == .cancelled)
      #expect(!identity.isAlive)
    }
  }

  @Test("a run of a cancelled task starts nothing")
  func cancelledBefore() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/started"
      let task = Task { () -> ProcessError.Code? in
        while !Task.isCancelled { await Task.yield() }
        return await code { () throws(ProcessError) in
          _ = try await shell("touch $1", [path]).run(timeout: generous)
        }
      }
      task.cancel()
      #expect(await task.value == .cancelled)
      #expect(access(path, F_OK) != 0)
    }
  }

  @Test("what a program leaves behind with its output does not hold up the result, nor dies of it")
  func grandchildHoldsOutput() async throws {
    let output = try await shell("setsid sleep 1000 & echo $!").run(timeout: generous)
    #expect(output.status.isSuccess)
    #expect(output.duration < .seconds(60))
    let pid = try #require(Int32(output.lines[0]))
    let identity = try #require(ProcessIdentity(pid: pid))
    #expect(identity.signal(SIGKILL))
    #expect(await identity.waitForEnd(within: generous))
  }

  @Test("a grandchild that prints without end does not hold up the result")
  func grandchildFloods() async throws {
    let output = try await shell("yes & echo $! >&2").run(timeout: generous)
    let text = String(decoding: output.standardError, as: UTF8.self)
    let pid = try #require(Int32(text.split(separator: "\n")[0]))
    // It dies of its closed pipe by itself.
    if let identity = ProcessIdentity(pid: pid) {
      #expect(await identity.waitForEnd(within: generous))
    }
  }

  @Test("two hundred runs at once all come back with their own words")
  func manyAtOnce() async throws {
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<200 {
        group.addTask {
          let output = try await Command("/bin/cat")
            .run(input: Array("\(number)".utf8), timeout: generous)
          return output.text == "\(number)"
        }
      }
      for try await right in group { #expect(right) }
    }
  }
}
