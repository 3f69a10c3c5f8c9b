import ContainerdClient
import Glibc
import Testing

@Suite struct OutputStreamTests {
  @Test("16 MiB of each output arrive whole and apart, and end when the writer ends")
  func largeOutput() async throws {
    try await withTemporaryDirectory { directory in
      let size = 16 << 20
      let streams = try StandardStreams(
        StreamPlan(output: .memory(limit: 32 << 20), error: .memory(limit: 32 << 20)),
        in: directory, named: "t")
      let writer = try ShellProcess(
        """
        yes 0123456789abcde | head -c \(size) > "$1" &
        yes fedcba987654321 | head -c \(size) > "$2"; wait
        """,
        [streams.locations.standardOutput, streams.locations.standardError])
      #expect(try await writer.wait() == 0)
      let results = await streams.finish(within: generous)
      for (result, line) in [
        (results.output, "0123456789abcde\n"), (results.error, "fedcba987654321\n"),
      ] {
        let result = try #require(result)
        #expect(result.reachedEnd)
        #expect(!result.truncated)
        #expect(result.byteCount == UInt64(size))
        let line = Array(line.utf8)
        // Neither is empty, so both have an address.
        let isWhole = result.bytes.withUnsafeBytes { bytes in
          line.withUnsafeBytes { line in
            stride(from: 0, to: bytes.count, by: 16).allSatisfy {
              memcmp(
                bytes.baseAddress.unsafelyUnwrapped + $0, line.baseAddress.unsafelyUnwrapped, 16)
                == 0
            }
          }
        }
        #expect(isWhole)
      }
    }
  }

  @Test("there is no end before a writer has come")
  func lateWriter() async throws {
    try await withTemporaryDirectory { directory in
      let streams = try StandardStreams(
        StreamPlan(output: .memory(limit: 100), error: .none), in: directory, named: "t")
      // A writer that does come, and comes late: its shell runs other programs first.
      let writer = try ShellProcess(
        "sleep 0.2; echo one > $1.x; rm $1.x; exec 3> $1; echo two >&3; sleep 0.1; echo three >&3",
        [streams.locations.standardOutput])
      #expect(try await writer.wait() == 0)
      let results = await streams.finish(within: generous)
      #expect(results.output?.bytes == Array("two\nthree\n".utf8))
      #expect(results.output?.reachedEnd == true)
    }
  }

  @Test("what is over the limit is dropped, and the writer is not held up")
  func limit() async throws {
    try await withTemporaryDirectory { directory in
      let streams = try StandardStreams(
        StreamPlan(output: .memory(limit: 10), error: .discard), in: directory, named: "t")
      let writer = try ShellProcess(
        "head -c 1000000 /dev/zero > $1; head -c 1000000 /dev/zero > $2",
        [streams.locations.standardOutput, streams.locations.standardError])
      #expect(try await writer.wait() == 0)
      let results = await streams.finish(within: generous)
      #expect(results.output?.bytes == [UInt8](repeating: 0, count: 10))
      #expect(results.output?.truncated == true)
      #expect(results.output?.byteCount == 1_000_000)
      #expect(results.error?.bytes.isEmpty == true)
      #expect(results.error?.byteCount == 1_000_000)
    }
  }

  @Test("an output that somebody holds open is given up in time, with what it had")
  func heldOpen() async throws {
    try await withTemporaryDirectory { directory in
      let streams = try StandardStreams(
        StreamPlan(output: .memory(limit: 100), error: .none), in: directory, named: "t")
      let writer = try ShellProcess(
        "exec 3> $1; echo kept >&3; exec sleep 1000", [streams.locations.standardOutput])
      try await eventually { streams.results.output?.byteCount == 5 }
      let results = await streams.finish(within: .milliseconds(50))
      #expect(results.output?.bytes == Array("kept\n".utf8))
      #expect(results.output?.reachedEnd == false)
      writer.kill()
      _ = try await writer.wait()
    }
  }

  @Test("streams to which nobody came are finished in time, also in a cancelled task")
  func nobodyCame() async throws {
    try await withTemporaryDirectory { directory in
      let plan = StreamPlan(input: .bytes([1]), output: .discard, error: .discard)
      let streams = try StandardStreams(plan, in: directory, named: "t")
      let results = await streams.finish(within: .milliseconds(20))
      #expect(results.output?.reachedEnd == false)
      #expect(await streams.inputEnd() == .stopped)

      let others = try StandardStreams(plan, in: directory, named: "t")
      let task = Task { await others.finish(within: generous) }
      task.cancel()
      #expect(await task.value.output?.reachedEnd == false)
      #expect(entries(of: directory).isEmpty)
    }
  }

  @Test("output goes to a file, behind what the file has")
  func toFile() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/log"
      try writeFile(path, Array("before\n".utf8))
      let file = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
      defer { close(file) }
      let streams = try StandardStreams(
        StreamPlan(output: .descriptor(file), error: .none), in: directory, named: "t")
      let writer = try ShellProcess("echo behind > $1", [streams.locations.standardOutput])
      #expect(try await writer.wait() == 0)
      _ = await streams.finish(within: generous)
      #expect(try readFile(path) == Array("before\nbehind\n".utf8))
    }
  }

  @Test("a consumer that stalls holds up its own stream alone, and not the end")
  func slowConsumer() async throws {
    try await withTemporaryDirectory { directory in
      let pipe = try TestPipe()
      let flags = fcntl(pipe.writing, F_GETFL)
      let streams = try StandardStreams(
        StreamPlan(output: .descriptor(pipe.writing), error: .memory(limit: 2 << 20)),
        in: directory, named: "t")
      let writer = try ShellProcess(
        "head -c 1000000 /dev/zero > $1 & head -c 1000000 /dev/zero > $2; wait",
        [streams.locations.standardOutput, streams.locations.standardError])
      try await eventually { streams.results.error?.reachedEnd == true }
      let results = await streams.finish(within: .milliseconds(50))
      #expect(results.error?.bytes.count == 1_000_000)
      #expect(results.output?.reachedEnd == false)
      #expect(fcntl(pipe.writing, F_GETFL) == flags)
      writer.kill()
      _ = try await writer.wait()
    }
  }

  @Test("a consumer that is slow, but reads, gets every byte")
  func backpressure() async throws {
    try await withTemporaryDirectory { directory in
      let pipe = try TestPipe()
      let streams = try StandardStreams(
        StreamPlan(output: .descriptor(pipe.writing), error: .none), in: directory, named: "t")
      let expected = pattern(1_000_000)
      try writeFile("\(directory)/data", expected)
      let writer = try ShellProcess(
        "cat $2 > $1", [streams.locations.standardOutput, "\(directory)/data"])
      var received: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 3000)
      while received.count < expected.count {
        let count = read(pipe.reading, &buffer, buffer.count)
        try #require(count > 0)
        received += buffer[..<count]
        if received.count.isMultiple(of: 7) { await Task.yield() }
      }
      #expect(received == expected)
      #expect(try await writer.wait() == 0)
      #expect(await streams.finish(within: generous).output?.reachedEnd == true)
    }
  }

  @Test("a consumer that is gone is told, and the process prints on undisturbed")
  func consumerGone() async throws {
    try await withTemporaryDirectory { directory in
      let pipe = try TestPipe()
      let streams = try StandardStreams(
        StreamPlan(output: .descriptor(pipe.writing), error: .none), in: directory, named: "t")
      pipe.closeReading()
      let writer = try ShellProcess(
        "head -c 1000000 /dev/zero > $1", [streams.locations.standardOutput])
      #expect(try await writer.wait() == 0)
      let results = await streams.finish(within: generous)
      #expect(results.output?.failure?.code == .copyFailed)
      #expect(results.output?.reachedEnd == true)
      #expect(results.output?.byteCount == 1_000_000)
    }
  }

  @Test("a socket is a consumer, too")
  func toSocket() async throws {
    try await withTemporaryDirectory { directory in
      var pair: [Int32] = [-1, -1]
      try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
      defer { for end in pair { close(end) } }
      let streams = try StandardStreams(
        StreamPlan(output: .descriptor(pair[0]), error: .none), in: directory, named: "t")
      let writer = try ShellProcess("echo hello > $1", [streams.locations.standardOutput])
      #expect(try await writer.wait() == 0)
      #expect(await streams.finish(within: generous).output?.reachedEnd == true)
      var buffer = [UInt8](repeating: 0, count: 100)
      #expect(read(pair[1], &buffer, buffer.count) == 6)
    }
  }

  @Test("fifty processes' streams at once all come whole")
  func manyAtOnce() async throws {
    try await withTemporaryDirectory { directory in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for number in 0..<50 {
          group.addTask {
            let streams = try StandardStreams(
              StreamPlan(output: .memory(limit: 100), error: .none), in: directory,
              named: "t\(number)")
            let writer = try ShellProcess(
              "echo $2 > $1", [streams.locations.standardOutput, "\(number)"])
            let status = try await writer.wait()
            let results = await streams.finish(within: generous)
            return status == 0 && results.output?.bytes == Array("\(number)\n".utf8)
          }
        }
        for try await right in group { #expect(right) }
      }
    }
  }
}
