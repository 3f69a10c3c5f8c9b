import Glibc
import ProcessSupervision
import Testing

@Suite struct SpawnTests {
  /// Which of the first 256 descriptors the child has, by a shell that opens none to find out.
  private let listDescriptors = """
    i=0; while [ $i -lt 256 ]; do
      if [ -e /proc/$$/fd/$i ]; then echo $i; fi; i=$((i+1)); done
    """

  @Test("a child has the descriptors of the map and the three standard ones, and no others")
  func exactDescriptors() async throws {
    // Inheritable on purpose.
    let stray = open("/dev/zero", O_RDONLY)
    let high = fcntl(stray, F_DUPFD, 99)
    defer {
      close(stray)
      close(high)
    }
    var command = shell(listDescriptors)
    command.descriptors = [3: stray, 7: stray]
    let output = try await command.run(timeout: generous)
    #expect(output.lines == ["0", "1", "2", "3", "7"])
  }

  @Test("standard descriptors that are not given are /dev/null")
  func nullByDefault() async throws {
    try await withTemporaryDirectory { directory in
      let path = "\(directory)/out"
      try writeFile(path, "")
      let file = try openFile(path, O_WRONLY)
      defer { close(file) }
      var command = shell("a=$(for i in 0 1 2; do readlink /proc/$$/fd/$i; done); echo \"$a\" >&3")
      command.descriptors = [3: file]
      #expect(try await command.spawn().wait() == .exited(0))
      let written = try await Command("/bin/cat", arguments: [path]).run(timeout: generous)
      #expect(written.lines == ["/dev/null", "/dev/null", "/dev/null"])
    }
  }

  @Test("descriptors may swap their numbers on the way")
  func overlappingMap() async throws {
    try await withTemporaryDirectory { directory in
      let names = ["a", "b", "c"]
      for name in names { try writeFile("\(directory)/\(name)", name) }
      let files = try names.map { try openFile("\(directory)/\($0)") }
      defer { for file in files { close(file) } }
      // A ring: each number's file moves to the next number. One stays where it is.
      let own = try openFile("\(directory)/a")
      defer { close(own) }
      var command = shell(
        "for i in \"$@\"; do cat /proc/self/fd/$i; done", (files + [own]).map(String.init))
      command.descriptors = [
        files[0]: files[1], files[1]: files[2], files[2]: files[0], own: own,
      ]
      #expect(try await command.run(timeout: generous).text == "bcaa")
      for file in files { #expect(fcntl(file, F_GETFD) == FD_CLOEXEC) }
    }
  }

  @Test("the environment is the command's and nothing else")
  func exactEnvironment() async throws {
    let command = Command("/usr/bin/env", environment: ["ONE=1", "TWO=a b=c"])
    #expect(try await command.run(timeout: generous).lines == ["ONE=1", "TWO=a b=c"])
    #expect(try await Command("/usr/bin/env").run(timeout: generous).text == "")
  }

  @Test("a child starts in the command's directory, where a relative executable is looked for")
  func workingDirectory() async throws {
    try await withTemporaryDirectory { directory in
      try writeFile("\(directory)/where", "#!/bin/sh\npwd -P\n", mode: 0o755)
      let command = Command("./where", directory: directory)
      #expect(try await command.run(timeout: generous).lines == [directory])
    }
  }

  @Test("signals are at their defaults and none is blocked")
  func defaultSignals() async throws {
    signal(SIGUSR2, SIG_IGN)
    let command = Command("/bin/cat", arguments: ["/proc/self/status"])
    let lines = try await command.run(timeout: generous).lines
    #expect(lines.contains("SigBlk:\t0000000000000000"))
    #expect(lines.contains("SigCgt:\t0000000000000000"))
    // 32 and 33, which glibc keeps for itself and hides from sigaction(2), may be ignored.
    let ignored = ["0000000000000000", "0000000180000000"].map { "SigIgn:\t\($0)" }
    #expect(ignored.contains { lines.contains($0) })
  }

  @Test(
    "a child stands where the command puts it",
    arguments: [
      Command.Grouping.inherit, .newGroup, .newSession,
    ])
  func grouping(_ grouping: Command.Grouping) async throws {
    var command = Command("/bin/sleep", arguments: ["1000"])
    command.grouping = grouping
    let child = try command.spawn()
    let status = try #require(ProcessStatus(pid: child.pid))
    let own = try #require(ProcessStatus(pid: getpid()))
    #expect(status.parent == getpid())
    #expect(status.group == (grouping == .inherit ? own.group : child.pid))
    #expect(status.session == (grouping == .newSession ? child.pid : own.session))
    child.signal(SIGKILL)
    #expect(try await child.wait() == .signalled(SIGKILL))
  }

  @Test(
    "what cannot be run is a typed error that names the path",
    arguments: [
      ("/nowhere/at/all", nil, ProcessError.Code.executableNotFound),
      ("/etc/passwd/x", nil, .executableNotFound),
      ("/etc/hostname", nil, .notExecutable),
      ("/tmp", nil, .notExecutable),
      ("/bin/true", "/nowhere", .directoryUnusable),
      ("/bin/true", "/etc/hostname", .directoryUnusable),
      ("/bin/true", "", .invalidCommand),
      ("true", nil, .invalidCommand),
      ("", nil, .invalidCommand),
      ("/bin/true\0x", nil, .invalidCommand),
    ])
  func unusable(_ executable: String, _ directory: String?, _ expected: ProcessError.Code) throws {
    let error = #expect(throws: ProcessError.self) {
      _ = try Command(executable, directory: directory).spawn()
    }
    #expect(error?.code == expected)
    let named = directory.flatMap { $0.isEmpty ? nil : $0 } ?? executable
    #expect(error?.description.contains(named) == true)
  }

  @Test("a script whose interpreter is missing is told apart from a missing file")
  func missingInterpreter() async throws {
    try await withTemporaryDirectory { directory in
      try writeFile("\(directory)/script", "#!/nowhere/sh\n", mode: 0o755)
      let error = #expect(throws: ProcessError.self) {
        _ = try Command("\(directory)/script").spawn()
      }
      #expect(error?.code == .executableNotFound)
      #expect(error?.message.contains("interpreter") == true)
    }
  }

  @Test("a descriptor that is not open, or a number out of range, is refused by its number")
  func badDescriptors() {
    let closed = #expect(throws: ProcessError.self) {
      _ = try Command("/bin/true", descriptors: [3: 1_000_000]).spawn()
    }
    #expect(closed?.code == .descriptorUnusable)
    #expect(closed?.message.contains("1000000") == true)
    let range = #expect(throws: ProcessError.self) {
      _ = try Command("/bin/true", descriptors: [-1: 0]).spawn()
    }
    #expect(range?.code == .invalidCommand)
  }

  @Test("an environment entry without a key is refused without being printed")
  func badEnvironment() {
    let error = #expect(throws: ProcessError.self) {
      _ = try Command("/bin/true", environment: ["s3cret"]).spawn()
    }
    #expect(error?.code == .invalidCommand)
    #expect(error?.description.contains("s3cret") == false)
  }

  @Test("a thousand spawns, good and bad, leave no descriptor and no zombie")
  func nothingLeaks() async {
    // In a process of its own: what others open in this one would be counted too.
    await #expect(processExitsWith: .success) {
      _ = try await Command("/bin/true").run(timeout: generous)
      let before = entries(of: "/proc/self/fd").count
      for round in 0..<250 {
        guard try await Command("/bin/true").spawn().wait() == .exited(0) else { exit(2) }
        _ = try Command("/bin/true").spawn()  // Nobody waits for this one.
        _ = try await Command("/bin/cat").run(input: [1, 2, 3], timeout: generous)
        let bad = round.isMultiple(of: 2) ? "/nowhere" : "/tmp"
        guard await code(of: { () throws(ProcessError) in _ = try Command(bad).spawn() }) != nil
        else { exit(3) }
      }
      let deadline = ContinuousClock.now + generous
      while entries(of: "/proc/self/fd").count != before || !children().isEmpty {
        guard ContinuousClock.now < deadline else { exit(4) }
        try await Task.sleep(for: .milliseconds(5))
      }
    }
  }

  @Test("spawns at the same time each get their own status")
  func concurrentSpawns() async throws {
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<100 {
        group.addTask {
          let code = Int32(number % 50)
          return try await shell("exit $1", ["\(code)"]).spawn().wait() == .exited(code)
        }
      }
      for try await right in group { #expect(right) }
    }
  }
}

/// Pids of this process's children, the dead among them.
private func children() -> [Int32] {
  entries(of: "/proc").compactMap { Int32($0) }
    .filter { ProcessStatus(pid: $0)?.parent == getpid() }
}
