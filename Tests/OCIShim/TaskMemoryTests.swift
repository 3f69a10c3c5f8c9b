import Glibc
import Testing

@testable import OCIShim

@Suite("The memory of a task")
struct TaskMemoryTests {
  @Test("a kill that only the last look sees is told before the end that it brought about")
  func order() async throws {
    try await TaskFixture.with { fixture in
      let pid = try await fixture.create()
      _ = try await fixture.start()
      try await fixture.exec("x")
      let exec = try await fixture.start("x")
      let watch = try #require(fixture.memory.watches.first)
      watch.kill()
      fixture.exits.end(exec, status: 137)
      _ = try await fixture.wait("x")
      watch.kill()
      fixture.exits.end(pid, status: 137)
      _ = try await fixture.wait()
      #expect(
        fixture.sink.lines.suffix(4) == ["oom a", "exit a/x 137", "oom a", "exit a 137"])
      watch.kill()
      watch.look()
      _ = try await fixture.delete()
      #expect(fixture.sink.lines.suffix(2) == ["exit a 137", "delete a"])
      #expect(fixture.memory.forgotten == ["a"] && fixture.memory.watches.count == 1)
    }
  }

  @Test("the figures of a container are forgotten with it")
  func forgotten() async throws {
    let cgroups = ContainerCgroups()
    let process = getpid()
    _ = try await cgroups.stats(container: "a", pid: process)
    #expect(cgroups.count == 1)
    cgroups.forget(container: "a")
    #expect(cgroups.count == 0)
  }

  @Test("a process in no cgroup of its own, or that has ended, is not watched")
  func notWatched() throws {
    let memory = ContainerMemory()
    let own = JournalRecord.Process(pid: getpid(), startTime: 1)
    #expect(try memory.watch(own) {} == nil)
    let unknown = JournalRecord.Process(pid: own.pid, startTime: nil)
    #expect(try memory.watch(unknown) {} == nil)
  }
}
