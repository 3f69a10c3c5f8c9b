import ContainerdClient
import Glibc
import Testing

@Suite struct StreamFifosTests {
  @Test("fifos and their directory are the owner's alone, and gone afterwards")
  func modes() async throws {
    try await withTemporaryDirectory { directory in
      let fifos = try StreamFifos(
        for: StreamPlan(input: .bytes([])), in: directory, named: "task")
      let locations = fifos.locations
      let made = try #require(entries(of: directory).first)
      #expect(made.hasPrefix("task-"))
      #expect(mode(of: "\(directory)/\(made)") == S_IFDIR | 0o700)
      for path in [
        locations.standardInput, locations.standardOutput, locations.standardError,
      ] {
        #expect(mode(of: try #require(path)) == S_IFIFO | 0o600)
      }
      fifos.remove()
      fifos.remove()
      #expect(entries(of: directory).isEmpty)
    }
  }

  @Test("a terminal has one output, and what the plan leaves out is not made")
  func parts() async throws {
    try await withTemporaryDirectory { directory in
      let plans = [
        StreamPlan(terminal: true), StreamPlan(output: .none, error: .none),
      ]
      for (plan, expected) in zip(plans, [1, 0]) {
        let fifos = try StreamFifos(for: plan, in: directory, named: "t")
        let locations = fifos.locations
        #expect(locations.terminal == plan.terminal)
        let paths = [
          locations.standardInput, locations.standardOutput, locations.standardError,
        ]
        #expect(paths.compactMap { $0 }.count == expected)
        fifos.remove()
      }
    }
  }

  @Test("what others put beside the fifos is not removed")
  func foreignFile() async throws {
    try await withTemporaryDirectory { directory in
      let fifos = try StreamFifos(for: StreamPlan(), in: directory, named: "t")
      let made = "\(directory)/\(try #require(entries(of: directory).first))"
      try writeFile("\(made)/foreign", [1])
      fifos.remove()
      #expect(entries(of: made) == ["foreign"])
      unlink("\(made)/foreign")
      rmdir(made)
    }
  }

  @Test(
    "what is not a fifo where one must be is told by its path",
    arguments: [
      "file", "directory", "link",
    ])
  func notAFifo(_ kind: String) async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/it"
      switch kind {
      case "file": try writeFile(path, [])
      case "directory": mkdir(path, 0o700)
      default:
        mkfifo("\(directory)/fifo", 0o600)
        symlink("\(directory)/fifo", path)
      }
      let error = #expect(throws: ContainerdClientError.self) {
        _ = try StreamFifos(existing: StreamLocations(standardOutput: path))
      }
      #expect(error?.code == .notAFifo)
      #expect(error?.message.contains(path) == true)
      if kind == "directory" { rmdir(path) }
    }
  }

  @Test("a path with nothing at it, and a parent that is not there, are told")
  func missing() async throws {
    let missing = #expect(throws: ContainerdClientError.self) {
      _ = try StreamFifos(existing: StreamLocations(standardInput: "/nowhere/fifo"))
    }
    #expect(missing?.code == .streamUnusable)
    let parent = #expect(throws: ContainerdClientError.self) {
      _ = try StreamFifos(for: StreamPlan(), in: "/nowhere", named: "t")
    }
    #expect(parent?.code == .streamUnusable)
    #expect(parent?.message.contains("/nowhere") == true)
    let name = #expect(throws: ContainerdClientError.self) {
      _ = try StreamFifos(for: StreamPlan(), in: "/tmp", named: "../x")
    }
    #expect(name?.code == .streamUnusable)
  }

  @Test("fifos that were found serve as well, and stay")
  func existing() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/out"
      try #require(mkfifo(path, 0o600) == 0)
      let streams = try StandardStreams(
        StreamPlan(output: .memory(limit: 10)),
        fifos: StreamFifos(existing: StreamLocations(standardOutput: path)))
      let writer = try ShellProcess("echo hi > $1", [path])
      #expect(try await writer.wait() == 0)
      let results = await streams.finish(within: generous)
      #expect(results.output?.bytes == Array("hi\n".utf8))
      #expect(results.error == nil)
      #expect(mode(of: path) == S_IFIFO | 0o600)
    }
  }

  @Test("a sink that is not there fails the opening, which leaves nothing")
  func badSink() async throws {
    try await withTemporaryDirectory { directory in
      let error = #expect(throws: ContainerdClientError.self) {
        _ = try StandardStreams(
          StreamPlan(input: .bytes([]), error: .descriptor(1_000_000)), in: directory, named: "t")
      }
      #expect(error?.code == .streamUnusable)
      #expect(entries(of: directory).isEmpty)
    }
  }

  @Test("streams leave no descriptor and no thread, finished or dropped")
  func nothingLeaks() async {
    // In a process of its own: what others open in this one would be counted too.
    await #expect(processExitsWith: .success) {
      func count() -> [Int] {
        [entries(of: "/proc/self/fd").count, entries(of: "/proc/self/task").count]
      }
      try await withTemporaryDirectory { directory in
        let plan = StreamPlan(input: .bytes([1]), output: .memory(limit: 10))
        // The runtime's own threads start with the first of these.
        for _ in 0..<20 {
          _ = await (try StandardStreams(plan, in: directory, named: "t"))
            .finish(within: .milliseconds(1))
        }
        let before = count()
        for _ in 0..<100 {
          _ = await (try StandardStreams(plan, in: directory, named: "t"))
            .finish(within: .milliseconds(1))
          _ = try StandardStreams(plan, in: directory, named: "t")
        }
        let deadline = ContinuousClock.now + generous
        while zip(count(), before).contains(where: { $0 > $1 }) || !entries(of: directory).isEmpty {
          guard ContinuousClock.now < deadline else { exit(2) }
          try await Task.sleep(for: .milliseconds(5))
        }
      }
    }
  }

  private func mode(of path: String) -> mode_t {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode : 0
  }
}
