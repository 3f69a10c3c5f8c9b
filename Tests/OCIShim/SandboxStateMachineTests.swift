import Testing

@testable import OCIShim

@Suite("What may be done with a sandbox")
struct SandboxStateMachineTests {
  private static func end(_ status: UInt32) -> ProcessEnd {
    ProcessEnd(status: status, time: WallTime(seconds: Int64(status), nanoseconds: 0))
  }

  @Test("it is ready from its holder's start to its holder's end")
  func life() throws {
    var machine = SandboxStateMachine()
    #expect(machine.name == "SANDBOX_NOTREADY" && machine.pid == 0)
    try machine.start()
    #expect(machine.name == "SANDBOX_NOTREADY" && machine.pid == 0)
    machine.started(pid: 7)
    #expect(machine.name == "SANDBOX_READY" && machine.pid == 7)
    machine.ended(Self.end(9))
    #expect(machine.name == "SANDBOX_NOTREADY" && machine.pid == 0 && machine.end == Self.end(9))
  }

  @Test("it is started once")
  func startedOnce() throws {
    var machine = SandboxStateMachine()
    try machine.start()
    #expect(throws: SandboxStateMachine.Refusal.notStartable) { try machine.start() }
    machine.started(pid: 7)
    #expect(throws: SandboxStateMachine.Refusal.notStartable) { try machine.start() }
    machine.ended(Self.end(0))
    #expect(throws: SandboxStateMachine.Refusal.notStartable) { try machine.start() }
  }

  @Test("stopping takes what its state takes, and may be asked for again")
  func stop() throws {
    var machine = SandboxStateMachine()
    #expect(machine.stop(now: Self.end(1)) == .over && machine.end == Self.end(1))
    #expect(machine.stop(now: Self.end(2)) == .over && machine.end == Self.end(1))

    machine = SandboxStateMachine()
    try machine.start()
    #expect(machine.stop(now: Self.end(1)) == .wait)
    machine.started(pid: 7)
    #expect(machine.stop(now: Self.end(1)) == .endHolder(pid: 7) && machine.end == nil)
    machine.ended(Self.end(3))
    #expect(machine.stop(now: Self.end(1)) == .over && machine.end == Self.end(3))
  }

  @Test("the first end counts, and a holder that could not be made is one")
  func firstEnd() throws {
    var machine = SandboxStateMachine()
    try machine.start()
    machine.startFailed(Self.end(255))
    machine.started(pid: 7)
    machine.ended(Self.end(0))
    #expect(machine.end == Self.end(255) && machine.pid == 0)
  }
}
