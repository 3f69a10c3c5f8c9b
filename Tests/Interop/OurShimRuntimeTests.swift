import ContainerdClient
import Glibc
import LinuxSystem
import ProcessSupervision
import RPCCore
import Testing

/// Runtimes that hang, or are not there, and readers that stop.
@Suite("our shim and a runtime that misbehaves", .serialized, .timeLimit(.minutes(5)))
struct OurShimRuntimeTests {
  /// runc, but that it hangs in a command of a container named `stuck` while a file is there.
  private func hanging(_ shim: OurShim, in command: String) throws -> String {
    close(open("\(shim.directory)/hang", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
    return try shim.script(
      "hanging",
      """
      case "$*" in *" \(command) "*stuck) [ ! -e $dir/hang ] || exec sleep 1000;; esac
      exec /usr/sbin/runc "$@"
      """)
  }

  private func message(_ body: () async throws -> Void) async -> String {
    do {
      try await body()
      return ""
    } catch let error as RPCError {
      return "\(error.code): \(error.message)"
    } catch {
      return "\(error)"
    }
  }

  @Test("a delete that hangs hinders no other container, is killed in the end, and done again")
  func delete() async throws {
    try await OurShim.use { shim in
      let runtime = try hanging(shim, in: "delete")
      for id in ["stuck", "fine"] { try shim.bundle(id, group: "g", ["/bin/sleep", "1000"]) }
      let socket = try await shim.start("stuck")
      try await shim.with(socket) { tasks in
        for id in ["stuck", "fine"] {
          _ = try await tasks.create(shim.creation(id, runtime: runtime, timeout: 10))
          _ = try await tasks.start(id)
        }
        try await tasks.kill("stuck", signal: 9)
        _ = try await tasks.wait("stuck")
        async let stuck = message { _ = try await tasks.delete("stuck") }
        try await eventually("the runtime hangs") {
          HostFiles.pids.contains { pid in
            HostFiles.text("/proc/\(pid)/environ").contains("OUR_SHIM=\(shim.directory)")
              && ProcessStatus(pid: pid)?.name == "sleep"
          }
        }
        // As containerd asks for, within its own limit.
        let state = try await tasks.state("stuck", timeout: .seconds(2))
        #expect(state.status == .stopped && state.exitStatus == 137)
        try await tasks.exec(shim.exec("fine", "e", ["/bin/sh", "-c", "exit 3"]))
        _ = try await tasks.start("fine", execID: "e")
        #expect(try await tasks.wait("fine", execID: "e").status == 3)
        _ = try await tasks.delete("fine", execID: "e")
        try await tasks.kill("fine", signal: 9)
        #expect(try await tasks.delete("fine", after: tasks.wait("fine")).status == 137)
        try await eventually("the delete is told, within the other's") {
          shim.told(of: "fine").last?.topic == "delete"
        }
        #expect(!shim.told.contains { $0.topic == "delete" && $0.container == "stuck" })

        let words = await stuck
        #expect(
          words.contains("\(runtime) delete did not end within 10.0 seconds and was killed"),
          "\(words)")
        unlink("\(shim.directory)/hang")
        #expect(try await tasks.delete("stuck").status == 137)
        try await tasks.shutdown("stuck")
      }
    }
  }

  @Test("a create that hangs is killed at its limit and named, and can be done again")
  func create() async throws {
    try await OurShim.use { shim in
      let runtime = try hanging(shim, in: "create")
      try shim.bundle("stuck", group: "g", ["/bin/true"])
      let socket = try await shim.start("stuck")
      try await shim.with(socket) { tasks in
        let words = await message {
          _ = try await tasks.create(shim.creation("stuck", runtime: runtime, timeout: 1))
        }
        #expect(
          words.contains("\(runtime) create did not end within 1.0 seconds and was killed"),
          "\(words)")
        unlink("\(shim.directory)/hang")
        _ = try await tasks.create(shim.creation("stuck", runtime: runtime))
        _ = try await tasks.start("stuck")
        #expect(try await tasks.delete("stuck", after: tasks.wait("stuck")).status == 0)
        try await tasks.shutdown("stuck")
      }
    }
  }

  @Test("a checkpoint that cannot be taken says what is missing, and the container goes on")
  func checkpoint() async throws {
    try await OurShim.use { shim in
      try shim.bundle("c", group: "g", ["/bin/sleep", "1000"])
      // No CRIU to be found, wherever one may be.
      let runtime = try shim.script("alone", "PATH=/none exec /usr/sbin/runc \"$@\"")
      let socket = try await shim.start("c")
      try await shim.with(socket) { tasks in
        _ = try await tasks.create(shim.creation("c", runtime: runtime))
        _ = try await tasks.start("c")
        let words = await message {
          try await tasks.checkpoint("c", to: "\(shim.directory)/image")
        }
        #expect(words.contains("criu") && words.contains("must be installed"), "\(words)")
        #expect(try await tasks.state("c").status == .running)
        try await tasks.kill("c", signal: 9)
        _ = try await tasks.delete("c", after: tasks.wait("c"))
        try await tasks.shutdown("c")
      }
    }
  }

  @Test("a runtime that is not there is named", arguments: ["/not/there", "no-such-runtime"])
  func missing(runtime: String) async throws {
    try await OurShim.use { shim in
      try shim.bundle("c", group: "g", ["/bin/true"])
      let socket = try await shim.start("c")
      try await shim.with(socket) { tasks in
        let words = await message {
          _ = try await tasks.create(shim.creation("c", runtime: runtime))
        }
        #expect(words.contains("the OCI runtime \"\(runtime)\" cannot be run"), "\(words)")
        try await tasks.shutdown("c")
      }
    }
  }

  @Test("a container that writes 1 GiB waits for a reader that stops, and the shim stays small")
  func stoppedReader() async throws {
    try await OurShim.use { shim in
      try shim.bundle("c", group: "g", ["/bin/dd", "if=/dev/zero", "bs=1M", "count=1024"])
      let fifo = "\(shim.directory)/out"
      try #require(mkfifo(fifo, 0o600) == 0)
      let socket = try await shim.start("c")
      try await shim.with(socket) { tasks in
        let reader = try OwnedDescriptor(opening: fifo, O_RDONLY | O_NONBLOCK)
        let streams = StreamLocations(standardOutput: fifo)
        _ = try await tasks.create(shim.creation("c", streams: streams))
        let pid = Int32(try await tasks.connect("c").shimPID)
        let before = Self.residentKiB(pid)
        _ = try await tasks.start("c")
        var read = try await Self.take(reader, atMost: 16 << 20)
        let end = Task { try await tasks.wait("c") }
        try await Task.sleep(for: .seconds(1))
        #expect(try await tasks.state("c").status == .running)
        #expect(Self.residentKiB(pid) - before < 8 << 10, "KiB more than before")
        read += try await Self.take(reader, atMost: 2 << 30)
        #expect(read == 1 << 30)
        #expect(try await end.value.status == 0)
        #expect(Self.residentKiB(pid) - before < 8 << 10, "KiB more than before")
        _ = try await tasks.delete("c")
        try await tasks.shutdown("c")
      }
    }
  }

  private static func residentKiB(_ pid: Int32) -> Int {
    let line = HostFiles.lines("/proc/\(pid)/status").first { $0.hasPrefix("VmRSS:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
  }

  /// Reads until there is so much, or the end.
  private static func take(
    _ reader: borrowing OwnedDescriptor, atMost limit: Int
  ) async throws -> Int {
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    var total = 0
    let deadline = ContinuousClock.now + .seconds(120)
    while total < limit, ContinuousClock.now < deadline {
      let count = read(reader.number, &buffer, min(buffer.count, limit - total))
      if count > 0 {
        total += count
      } else if count == 0, total > 0 {
        return total
      } else {
        // Nothing there yet.
        try await Task.sleep(for: .milliseconds(1))
      }
    }
    return total
  }

  @Test("300 containers live in one shim, which has nothing left of them in the end")
  func many() async throws {
    try await OurShim.use { shim in
      // As quick as a runtime can be: a container is a process.
      let runtime = try shim.script(
        "instant",
        """
        for id; do :; done
        case "$*" in
          *" create "*)
            while [ "$1" != --pid-file ]; do shift; done
            sleep 1000 > /dev/null 2>&1 < /dev/null & echo $! > $2; cp $2 $dir/$id.pid ;;
          *" kill "*) for id; do [ -e $dir/$id.pid ] && kill -9 $(cat $dir/$id.pid); done ;;
          *" delete "*) rm -f $dir/$id.pid ;;
        esac
        exit 0
        """)
      let ids = (0..<300).map { "c\($0)" }
      try shim.bundle("c0", group: "g", ["/bin/true"])
      let socket = try await shim.start("c0")
      try await shim.with(socket) { tasks in
        let pid = Int32(try await tasks.connect("c0").shimPID)
        // The first of all kinds of calls opens what stays open.
        try await Self.all(["c0"], shim, tasks, runtime)
        let before = HostFiles.names(in: "/proc/\(pid)/fd").count
        try await Self.all(Array(ids.dropFirst()), shim, tasks, runtime)
        try await eventually("its descriptors are closed") {
          HostFiles.names(in: "/proc/\(pid)/fd").count <= before
        }
        try await tasks.shutdown("c0")
      }
      try await eventually("all deletes are told") {
        shim.told.filter { $0.topic == "delete" }.count == 300
      }
      for id in ids {
        #expect(OurShimOrder(events: shim.told(of: id)).faults(isOver: true) == [], "\(id)")
      }
    }
  }

  /// Has containers made, all there at once, and deleted.
  private static func all(
    _ ids: [String], _ shim: OurShim, _ tasks: OurShim.Tasks, _ runtime: String
  ) async throws {
    try await each(ids) { id in
      if id != "c0" { try shim.bundle(id, group: "g", ["/bin/true"]) }
      _ = try await tasks.create(shim.creation(id, runtime: runtime))
      _ = try await tasks.start(id)
    }
    for id in ids { #expect(try await tasks.state(id).status == .running) }
    try await each(ids) { id in
      try await tasks.kill(id, signal: 9)
      #expect(try await tasks.delete(id, after: tasks.wait(id)).status == 137)
    }
  }

  private static func each(
    _ ids: [String], _ body: @escaping @Sendable (String) async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, id) in ids.enumerated() {
        if number >= 32 { try await group.next() }
        group.addTask { try await body(id) }
      }
      try await group.waitForAll()
    }
  }
}

extension TaskClient {
  /// Deletes what was waited for.
  fileprivate func delete(_ id: String, after end: TaskExit) async throws -> TaskExit {
    let deleted = try await delete(id)
    #expect(deleted.status == end.status)
    return deleted
  }
}
