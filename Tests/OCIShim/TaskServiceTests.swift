import ContainerdAPI
import FoundationEssentials
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import Testing

@testable import OCIShim

@Suite("OCITaskService")
struct TaskServiceTests {
  func code(_ body: () async throws -> Void) async -> RPCCode? {
    do {
      try await body()
      return nil
    } catch let error as RPCError {
      return error.code
    } catch {
      Issue.record("\(error)")
      return nil
    }
  }

  @Test("a container's life is told in its order, journalled and remembered")
  func life() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      #expect(try await fixture.state().status == .created)
      #expect(try await fixture.start() == pid)
      #expect(try await fixture.state().status == .running)
      #expect(await code { _ = try await fixture.start() } == .unknown)
      #expect(await code { _ = try await fixture.delete() } == .unknown)
      #expect(await code { _ = try await fixture.create() } == .alreadyExists)

      fixture.exits.end(pid, status: 7)
      let waited = try await fixture.wait()
      #expect(waited.exitStatus == 7 && waited.exitedAt.seconds == 9)
      #expect(try await fixture.state().status == .stopped)
      let record = try #require(try Journal(bundle: fixture.bundle.path).read())
      #expect(record.initProcess?.pid == Int32(pid) && record.exit?.status == 7)
      #expect(await code { try await fixture.kill() } == .notFound)

      let deleted = try await fixture.delete()
      #expect(deleted.exitStatus == 7 && deleted.pid == pid)
      #expect(try await fixture.delete() == deleted)
      #expect(await code { _ = try await fixture.state() } == .notFound)
      #expect(fixture.sink.lines == ["create a", "start a", "exit a 7", "delete a"])
      let left = try fixture.bundle.names().filter { $0.hasPrefix("log-") }
      #expect(left == [])
    }
  }

  @Test("an init that ends while create runs is told behind its create")
  func earlyCreate() async throws {
    try await TaskFixture.with { fixture in
      try fixture.fake.directory.write("hold-create", "")
      async let created = fixture.create()
      let pid = try await fixture.number(in: "init.pid")
      fixture.exits.end(pid, status: 1)
      #expect(fixture.sink.lines == [])
      try fixture.fake.directory.write("go", "")
      #expect(try await created == pid)
      #expect(try await fixture.wait().exitStatus == 1)
      #expect(fixture.sink.lines == ["create a", "exit a 1"])
      #expect(await code { _ = try await fixture.start() } == .unknown)
    }
  }

  @Test("an init that a delete killed is not forgotten before its end has come")
  func lateEnd() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      #expect(await code { _ = try await fixture.delete() } == .deadlineExceeded)
      #expect(try await fixture.state().status == .created)
      fixture.exits.end(pid, status: 137)
      #expect(try await fixture.delete().exitStatus == 137)
      #expect(fixture.sink.lines == ["create a", "exit a 137", "delete a"])
    }
  }

  @Test("an init that ends while start hangs is answered, told, and the runtime killed")
  func hangingStart() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      try fixture.fake.directory.write("hold-start", "")
      async let started = fixture.start()
      while !fixture.fake.calls.contains(where: { $0.hasSuffix("start a") }) {
        try await Task.sleep(for: .milliseconds(5))
      }
      #expect(try await fixture.state().status == .created)
      fixture.exits.end(pid, status: 2)
      do {
        _ = try await started
        Issue.record("a start that hung succeeded")
      } catch let error as RPCError {
        #expect(error.code == .deadlineExceeded)
        #expect(error.message.contains("init ended"))
      }
      #expect(try await fixture.wait().exitStatus == 2)
      #expect(fixture.sink.lines == ["create a", "exit a 2"])
    }
  }

  @Test("execs end before their init, and none starts behind it")
  func execs() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      _ = try await fixture.start()
      try await fixture.exec("x")
      try await fixture.exec("y")
      try await fixture.exec("z")
      #expect(await code { try await fixture.exec("x") } == .alreadyExists)
      #expect(await code { try await fixture.exec("w", spec: "{") } == .invalidArgument)
      #expect(try await fixture.state("x").status == .created)
      #expect(await code { try await fixture.kill("x") } == .failedPrecondition)
      let exec = try await fixture.start("x")
      #expect(try await fixture.state("x").status == .running)

      try fixture.fake.directory.write("hold-exec", "")
      async let other = fixture.start("y")
      let otherPid = try await fixture.number(in: "y.pid")
      fixture.exits.end(pid, status: 3)
      fixture.exits.end(otherPid, status: 4)
      #expect(await code { _ = try await fixture.start("z") } == .failedPrecondition)
      try fixture.fake.directory.write("go", "")
      #expect(try await other == otherPid)
      #expect(try await fixture.wait("y").exitStatus == 4)
      fixture.exits.end(exec, status: 5)
      #expect(try await fixture.wait().exitStatus == 3)
      #expect(try await fixture.delete("x").exitStatus == 5)
      #expect(await code { _ = try await fixture.state("x") } == .notFound)
      _ = try await fixture.delete()
      #expect(
        fixture.sink.lines == [
          "create a", "start a", "exec-added a/x", "exec-added a/y", "exec-added a/z",
          "exec-started a/x", "exec-started a/y", "exit a/y 4", "exit a/x 5", "exit a 3",
          "delete a",
        ])
      #expect(try fixture.bundle.names().filter { $0.contains("process") } == [])
    }
  }

  @Test("an exec's delete that is asked for again is answered the same, until its id is used again")
  func deletedExec() async throws {
    try await TaskFixture.with { fixture in
      _ = try await fixture.create()
      _ = try await fixture.start()
      try await fixture.exec("x")
      let pid = try await fixture.start("x")
      #expect(await code { _ = try await fixture.delete("x") } == .unknown)
      fixture.exits.end(pid, status: 5)
      _ = try await fixture.wait("x")
      async let one = fixture.delete("x")
      async let other = fixture.delete("x")
      let first = try await one
      #expect(first.exitStatus == 5 && first.pid == pid && first.hasExitedAt)
      #expect(try await other == first)
      #expect(try await fixture.delete("x") == first)
      try await fixture.exec("x")
      #expect(try await fixture.delete("x").pid == 0)
      #expect(await code { _ = try await fixture.delete("never") } == .notFound)
    }
  }

  @Test("what it is at is described: containers, execs, and operations that wait")
  func description() async throws {
    try await TaskFixture.with { fixture in
      #expect(fixture.service.stateDescription == "no containers")
      let pid = try await fixture.create()
      _ = try await fixture.start()
      try await fixture.exec("x")
      #expect(fixture.service.stateDescription == "a: running, pid \(pid); exec x created, pid 0")
      try fixture.fake.directory.write("hold-pause", "")
      var pause = Containerd_Task_V3_PauseRequest()
      pause.id = "a"
      let request = pause
      async let paused = fixture.service.pause(request, context: fixture.context)
      while !fixture.service.stateDescription.hasSuffix("operations under way: 1") {
        try await Task.sleep(for: .milliseconds(5))
      }
      try fixture.fake.directory.write("go", "")
      _ = try await paused
      #expect(fixture.service.stateDescription.hasPrefix("a: paused, "))
    }
  }

  @Test("a create that fails leaves nothing, with the runtime's words")
  func failedCreate() async throws {
    try await TaskFixture.with { fixture in
      try fixture.fake.directory.write("fail-create", "no such thing")
      do {
        _ = try await fixture.create()
        Issue.record("created")
      } catch let error as RPCError {
        #expect(error.code == .unknown)
        #expect(error.message == "OCI runtime create failed: no such thing")
      }
      #expect(fixture.fake.calls.last?.hasSuffix("delete --force a") == true)
      #expect(await code { _ = try await fixture.state() } == .notFound)
      #expect(fixture.sink.lines == [])
    }
  }

  @Test("an exec that fails to start is still created, and who waits is answered")
  func failedExec() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      _ = try await fixture.start()
      try await fixture.exec("x")
      try fixture.fake.directory.write("fail-exec", "not found")
      async let waited = fixture.wait("x")
      #expect(await code { _ = try await fixture.start("x") } == .unknown)
      #expect(try await waited == Containerd_Task_V3_WaitResponse())
      #expect(try await fixture.state("x").status == .created)
      fixture.exits.end(pid)
      _ = try await fixture.wait()
      #expect(fixture.sink.lines.last == "exit a 0")
    }
  }

  @Test("what a runtime has started before it fails an exec is not left running")
  func strayExec() async throws {
    try await TaskFixture.with { fixture in
      _ = try await fixture.create()
      _ = try await fixture.start()
      try await fixture.exec("x")
      try fixture.fake.directory.write("stray-exec", "")
      try fixture.fake.directory.write("fail-exec", "too late")
      #expect(await code { _ = try await fixture.start("x") } == .unknown)
      let pid = try #require(Int32(fixture.fake.directory.read("stray-exec")?.dropLast() ?? ""))
      while let status = ProcessStatus(pid: pid), !status.isDead {
        try await Task.sleep(for: .milliseconds(5))
      }
      #expect(fixture.bundle.read("x.pid") == nil)
      #expect(!fixture.sink.lines.contains { $0.hasPrefix("exit") })
    }
  }

  @Test("pause, resume, update and ps go to the runtime")
  func control() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      _ = try await fixture.start()
      var pause = Containerd_Task_V3_PauseRequest()
      pause.id = "a"
      _ = try await fixture.service.pause(pause, context: fixture.context)
      #expect(try await fixture.state().status == .paused)
      #expect(await code { try await fixture.exec("x") } == .unknown)
      var resume = Containerd_Task_V3_ResumeRequest()
      resume.id = "a"
      _ = try await fixture.service.resume(resume, context: fixture.context)
      #expect(try await fixture.state().status == .running)
      var update = Containerd_Task_V3_UpdateTaskRequest()
      update.id = "a"
      update.resources.value = Data(#"{"memory":{"limit":5}}"#.utf8)
      _ = try await fixture.service.update(update, context: fixture.context)
      #expect(fixture.fake.directory.read("resources") == #"{"memory":{"limit":5}}"#)
      try fixture.fake.directory.write("processes", "[\(pid),3]")
      var pids = Containerd_Task_V3_PidsRequest()
      pids.id = "a"
      let processes = try await fixture.service.pids(pids, context: fixture.context).processes
      #expect(processes.map(\.pid) == [pid, 3])
      var stats = Containerd_Task_V3_StatsRequest()
      stats.id = "a"
      let ask = stats
      #expect(
        await code { _ = try await fixture.service.stats(ask, context: fixture.context) }
          == .notFound)
      _ = try await fixture.service.pause(pause, context: fixture.context)
      fixture.exits.end(pid)
      _ = try await fixture.wait()
      #expect(fixture.fake.calls.last?.hasSuffix("resume a") == true)
      #expect(fixture.sink.lines.suffix(2) == ["paused a", "exit a 0"])
    }
  }

  @Test("shutdown waits for the last container, and connect never fails")
  func shutdown() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      let request = Containerd_Task_V3_ShutdownRequest()
      _ = try await fixture.service.shutdown(request, context: fixture.context)
      #expect(fixture.shutdowns.value == 0)
      var connect = Containerd_Task_V3_ConnectRequest()
      connect.id = "a"
      let connected = try await fixture.service.connect(connect, context: fixture.context)
      #expect(connected.taskPid == pid && connected.shimPid > 0)
      fixture.exits.end(pid)
      _ = try await fixture.wait()
      _ = try await fixture.delete()
      _ = try await fixture.service.shutdown(request, context: fixture.context)
      #expect(fixture.shutdowns.value == 1)
      connect.id = "nobody"
      #expect(
        try await fixture.service.connect(connect, context: fixture.context).taskPid == 0)
    }
  }

  @Test("a wait ends with its caller")
  func cancelledWait() async throws {
    try await TaskFixture.with { fixture in
      _ = try await fixture.create()
      let waiting = Task { try await fixture.wait() }
      waiting.cancel()
      await #expect(throws: CancellationError.self) { try await waiting.value }
    }
  }
}
