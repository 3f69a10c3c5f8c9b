import ContainerdClient
import SwiftProtobuf
import Testing

@testable import SandboxControl

@Suite("the states of a sandbox")
struct SandboxMachineTests {
  static let instance = SandboxInstance(
    pid: 1, createdAt: .init(), address: "ttrpc+unix:///a", version: 3)

  /// A machine in each state, reached as it is in life.
  static func machine(in state: SandboxMachine.State) throws -> SandboxMachine {
    var machine = SandboxMachine()
    if state == .creating { return machine }
    machine.created()
    if state == .created { return machine }
    _ = try machine.start()
    if state == .starting { return machine }
    machine.started(instance)
    switch state {
    case .stopping: _ = try machine.stop()
    case .stopped: machine.ended(SandboxExit(status: 3, exitedAt: .init(seconds: 1)))
    case .unknown: machine.lost()
    default: break
    }
    return machine
  }

  struct Row: CustomTestStringConvertible, Sendable {
    var state: SandboxMachine.State
    /// What each call gives: "-" where it is refused, else the state behind it.
    var start: String
    var stop: String
    var end: String
    var lost: String
    var recorded: String
    var reported: String

    init(
      _ state: SandboxMachine.State, start: String, stop: String, end: String, lost: String,
      recorded: String, reported: String
    ) {
      self.state = state
      self.start = start
      self.stop = stop
      self.end = end
      self.lost = lost
      self.recorded = recorded
      self.reported = reported
    }

    var testDescription: String { state.rawValue }
  }

  static let rows = [
    Row(
      .creating, start: "-", stop: "-", end: "stopped", lost: "creating", recorded: "creating",
      reported: "SANDBOX_NOTREADY"),
    Row(
      .created, start: "starting", stop: "stopping", end: "stopped", lost: "unknown",
      recorded: "created", reported: "SANDBOX_NOTREADY"),
    Row(
      .starting, start: "-", stop: "-", end: "stopped", lost: "starting", recorded: "starting",
      reported: "SANDBOX_NOTREADY"),
    Row(
      .running, start: "running", stop: "stopping", end: "stopped", lost: "unknown",
      recorded: "running", reported: "SANDBOX_READY"),
    Row(
      .stopping, start: "-", stop: "stopping", end: "stopped", lost: "stopping",
      recorded: "running", reported: "SANDBOX_READY"),
    Row(
      .stopped, start: "-", stop: "stopped", end: "stopped", lost: "stopped",
      recorded: "stopped", reported: "SANDBOX_NOTREADY"),
    Row(
      .unknown, start: "-", stop: "stopping", end: "stopped", lost: "unknown",
      recorded: "running", reported: "SANDBOX_UNKNOWN"),
  ]

  @Test("every call in every state does what the table says", arguments: rows)
  func table(_ row: Row) throws {
    func after(_ call: (inout SandboxMachine) throws -> Void) throws -> String {
      var machine = try Self.machine(in: row.state)
      do {
        try call(&machine)
        return machine.state.rawValue
      } catch is SandboxMachine.Refusal {
        #expect(machine.state == row.state, "a refused call changes nothing")
        return "-"
      }
    }
    #expect(try after { _ = try $0.start() } == row.start)
    #expect(try after { _ = try $0.stop() } == row.stop)
    #expect(try after { $0.ended(.unknown) } == row.end)
    #expect(try after { $0.lost() } == row.lost)
    let machine = try Self.machine(in: row.state)
    #expect(machine.recordedState.rawValue == row.recorded)
    #expect(machine.reported == row.reported)
  }

  @Test("the table has every state")
  func complete() {
    #expect(Self.rows.map(\.state) == SandboxMachine.State.allCases)
  }

  @Test("a sandbox that runs gives its instance again")
  func again() throws {
    var machine = try Self.machine(in: .running)
    #expect(try machine.start() == .isRunning(Self.instance))
  }

  @Test(
    "a stop that fails leaves the sandbox as it was",
    arguments: [
      SandboxMachine.State.created, .running, .unknown,
    ])
  func stopFails(_ state: SandboxMachine.State) throws {
    var machine = try Self.machine(in: state)
    _ = try machine.stop()
    machine.stopFailed()
    #expect(machine.state == state)
  }

  @Test("the first end counts")
  func firstEnd() throws {
    var machine = try Self.machine(in: .running)
    let first = SandboxExit(status: 5, exitedAt: .init(seconds: 1))
    let (isFirst, isSecond) = (machine.ended(first), machine.ended(.unknown))
    #expect(isFirst)
    #expect(!isSecond)
    #expect(machine.exit == first)
  }

  @Test(
    "what was lost and found goes on as it was",
    arguments: [
      SandboxMachine.State.created, .running,
    ])
  func found(_ state: SandboxMachine.State) throws {
    var machine = try Self.machine(in: state)
    machine.lost()
    #expect(machine.recordedState == state)
    machine.found()
    #expect(machine.state == state)
  }
}
