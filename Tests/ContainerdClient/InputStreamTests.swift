import ContainerdClient
import Glibc
import Testing

@Suite struct InputStreamTests {
  @Test("a large input arrives whole, and the reader sees its end")
  func largeInput() async throws {
    try await withTemporaryDirectory { directory in
      let bytes = pattern(4 << 20)
      let streams = try StandardStreams(
        StreamPlan(input: .bytes(bytes), output: .none, error: .none), in: directory, named: "t")
      #expect(streams.locations.standardOutput == nil)
      let copy = "\(directory)/copy"
      let reader = try ShellProcess("cat < $1 > $2", [streams.locations.standardInput, copy])
      #expect(try await reader.wait() == 0)
      #expect(await streams.inputEnd() == .delivered)
      _ = await streams.finish(within: generous)
      #expect(try readFile(copy) == bytes)
    }
  }

  @Test("a pipe whose writer left before the streams were opened still gives its bytes and its end")
  func abandonedPipe() async throws {
    try await withTemporaryDirectory { directory in
      let pipe = try TestPipe()
      try #require(write(pipe.writing, "hi\n", 3) == 3)
      pipe.closeWriting()
      try await expectDelivery(of: pipe.reading, "hi\n", in: directory)
    }
  }

  @Test("a regular file is read from where it stands to its end")
  func regularFile() async throws {
    try await withTemporaryDirectory { directory in
      try writeFile("\(directory)/source", Array("0123456789".utf8))
      let file = open("\(directory)/source", O_RDONLY | O_CLOEXEC)
      defer { close(file) }
      lseek(file, 4, SEEK_SET)
      try await expectDelivery(of: file, "456789", in: directory)
    }
  }

  @Test("/dev/null is an empty input")
  func null() async throws {
    try await withTemporaryDirectory { directory in
      let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
      defer { close(file) }
      try await expectDelivery(of: file, "", in: directory)
    }
  }

  @Test("a socket is a source, too, and nobody's flags are changed")
  func socketSource() async throws {
    try await withTemporaryDirectory { directory in
      var pair: [Int32] = [-1, -1]
      try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
      defer { for end in pair { close(end) } }
      let flags = fcntl(pair[0], F_GETFL)
      try #require(write(pair[1], "hello", 5) == 5)
      shutdown(pair[1], Int32(SHUT_WR))
      try await expectDelivery(of: pair[0], "hello", in: directory)
      #expect(fcntl(pair[0], F_GETFL) == flags)
    }
  }

  @Test("bytes are handed on as they come, not at the end")
  func interactive() async throws {
    try await withTemporaryDirectory { directory in
      let pipe = try TestPipe()
      let streams = try StandardStreams(
        StreamPlan(input: .descriptor(pipe.reading), output: .memory(limit: 100), error: .none),
        in: directory, named: "t")
      let process = try ShellProcess(
        "exec < $1 > $2; while read line; do echo got $line; done; echo end",
        [streams.locations.standardInput, streams.locations.standardOutput])
      for (line, expected) in [("one\n", "got one\n"), ("two\n", "got one\ngot two\n")] {
        try #require(write(pipe.writing, line, line.utf8.count) == line.utf8.count)
        try await eventually { streams.results.output?.bytes == Array(expected.utf8) }
      }
      pipe.closeWriting()
      #expect(await streams.inputEnd() == .delivered)
      #expect(try await process.wait() == 0)
      let results = await streams.finish(within: generous)
      #expect(results.output?.bytes == Array("got one\ngot two\nend\n".utf8))
    }
  }

  @Test("a reader that leaves early is noticed, and harms nobody")
  func readerGone() async throws {
    try await withTemporaryDirectory { directory in
      let streams = try StandardStreams(
        StreamPlan(input: .bytes(pattern(4 << 20)), output: .none, error: .none),
        in: directory, named: "t")
      let reader = try ShellProcess("head -c 1 < $1", [streams.locations.standardInput])
      #expect(try await reader.wait() == 0)
      #expect(await streams.inputEnd() == .readerGone)
      _ = await streams.finish(within: generous)
    }
  }

  @Test("an input that waits for its source is stopped by the finish")
  func idleSource() async throws {
    try await withTemporaryDirectory { directory in
      let pipe = try TestPipe()
      let streams = try StandardStreams(
        StreamPlan(input: .descriptor(pipe.reading), output: .none, error: .none),
        in: directory, named: "t")
      let reader = try ShellProcess("cat < $1", [streams.locations.standardInput])
      _ = await streams.finish(within: generous)
      #expect(await streams.inputEnd() == .stopped)
      // Our end is closed, so it ends; if it came too late for us altogether, it waits in vain.
      reader.kill()
      _ = try await reader.wait()
      #expect(fcntl(pipe.reading, F_GETFD) >= 0)
    }
  }

  @Test("waiting for the input's end can be cancelled")
  func cancelledWait() async throws {
    try await withTemporaryDirectory { directory in
      let streams = try StandardStreams(
        StreamPlan(input: .bytes([1]), output: .none, error: .none), in: directory, named: "t")
      let task = Task { await streams.inputEnd() }
      task.cancel()
      #expect(await task.value == .stopped)
      _ = await streams.finish(within: generous)
    }
  }

  private func expectDelivery(
    of source: Int32, _ expected: String, in directory: String
  ) async throws {
    let streams = try StandardStreams(
      StreamPlan(input: .descriptor(source), output: .none, error: .none),
      in: directory, named: "t")
    let copy = "\(directory)/copy"
    let reader = try ShellProcess("cat < $1 > $2", [streams.locations.standardInput, copy])
    #expect(await streams.inputEnd() == .delivered)
    #expect(try await reader.wait() == 0)
    _ = await streams.finish(within: generous)
    #expect(try String(decoding: readFile(copy), as: UTF8.self) == expected)
  }
}
