import RPCCore
import Testing

@testable import OCIShim

@Suite("State machines of init and exec")
struct StateMachineTests {
  typealias Init = InitStateMachine
  typealias Exec = ExecStateMachine

  static func initMachine(in state: Init.State) -> Init {
    var machine = Init(fromCheckpoint: state == .createdFromCheckpoint)
    switch state {
    case .created, .createdFromCheckpoint: break
    case .running: machine.apply(.start)
    case .paused:
      machine.apply(.start)
      machine.apply(.pause)
    case .stopped: machine.exited()
    case .deleted: machine.apply(.delete)
    }
    return machine
  }

  /// Nil: allowed. Otherwise the refusal's words.
  static let initTable: [Init.State: [Init.Operation: String]] = [
    .created: [
      .pause: "cannot pause a created container", .resume: "cannot resume a created container",
      .checkpoint: "cannot checkpoint a created container",
    ],
    .createdFromCheckpoint: [
      .pause: "cannot pause a created container", .resume: "cannot resume a created container",
      .checkpoint: "cannot checkpoint a created container",
      .update: "cannot update a created container", .exec: "cannot exec in a created state",
      .kill: "cannot kill a container that is not restored yet",
    ],
    .running: [
      .start: "cannot start a running process", .resume: "cannot resume a running container",
      .delete: "cannot delete a running process",
    ],
    .paused: [
      .start: "cannot start a paused process", .pause: "cannot pause a paused container",
      .exec: "cannot exec in a paused state", .delete: "cannot delete a paused process",
    ],
    .stopped: [
      .start: "cannot start a stopped process", .pause: "cannot pause a stopped container",
      .resume: "cannot resume a stopped container",
      .checkpoint: "cannot checkpoint a stopped container",
      .update: "cannot update a stopped container", .exec: "cannot exec in a stopped state",
    ],
    .deleted: [
      .start: "cannot start a deleted process", .pause: "cannot pause a deleted container",
      .resume: "cannot resume a deleted container",
      .checkpoint: "cannot checkpoint a deleted container",
      .update: "cannot update a deleted container", .exec: "cannot exec in a deleted state",
      .kill: "cannot kill a deleted process: not found",
      .delete: "cannot delete a deleted process: not found",
    ],
  ]

  @Test(
    "a container's operations are allowed or refused by its state", arguments: Init.State.allCases)
  func initChecks(state: Init.State) throws {
    let machine = Self.initMachine(in: state)
    #expect(machine.state == state)
    let refusals = try #require(Self.initTable[state])
    for operation in Init.Operation.allCases {
      let refusal = refusalOf { () throws(LifecycleRefusal) in try machine.check(operation) }
      #expect(refusal?.message == refusals[operation], "\(operation) of \(state)")
      guard let refusal else { continue }
      let code: RPCCode =
        switch (operation, state) {
        case (.kill, .deleted), (.delete, .deleted): .notFound
        case (.kill, .createdFromCheckpoint): .failedPrecondition
        default: .unknown
        }
      #expect(refusal.code == code)
    }
  }

  @Test(
    "what succeeds moves a container as far as its state lets it", arguments: Init.State.allCases)
  func initMoves(state: Init.State) {
    let moves: [Init.State: [Init.Operation: Init.State]] = [
      .created: [.start: .running, .delete: .deleted],
      .createdFromCheckpoint: [.start: .running, .delete: .deleted],
      .running: [.pause: .paused], .paused: [.resume: .running], .stopped: [.delete: .deleted],
    ]
    for operation in Init.Operation.allCases {
      var machine = Self.initMachine(in: state)
      machine.apply(operation)
      #expect(machine.state == moves[state]?[operation] ?? state, "\(operation) of \(state)")
    }
    var machine = Self.initMachine(in: state)
    machine.isPausing = true
    let isNew = machine.exited()
    #expect(isNew == (state != .stopped && state != .deleted))
    #expect(machine.state == (state == .deleted ? .deleted : .stopped))
    if isNew { #expect(!machine.isPausing) }
  }

  static func execMachine(in state: Exec.State) -> Exec {
    var machine = Exec()
    switch state {
    case .created: break
    case .running: machine.apply(.start)
    case .stopped: machine.exited()
    case .deleted: machine.apply(.delete)
    }
    return machine
  }

  static let execTable: [Exec.State: [Exec.Operation: String]] = [
    .created: [.kill: "cannot kill a process that is not started"],
    .running: [
      .start: "cannot start a running process", .delete: "cannot delete a running process",
    ],
    .stopped: [
      .start: "cannot start a stopped process", .resize: "cannot resize a stopped process",
      .kill: "process already finished: not found",
    ],
    .deleted: [
      .start: "cannot start a deleted process", .resize: "cannot resize a deleted process",
      .kill: "cannot kill a deleted process: not found",
      .delete: "cannot delete a deleted process: not found",
    ],
  ]

  @Test("an exec's operations are allowed or refused by its state", arguments: Exec.State.allCases)
  func execChecks(state: Exec.State) throws {
    let refusals = try #require(Self.execTable[state])
    for operation in Exec.Operation.allCases {
      let machine = Self.execMachine(in: state)
      let refusal = refusalOf { () throws(LifecycleRefusal) in try machine.check(operation) }
      #expect(refusal?.message == refusals[operation], "\(operation) of \(state)")
      guard let refusal else { continue }
      #expect((refusal.code == .notFound) == refusal.message.hasSuffix("not found"))
    }
  }

  @Test("what succeeds moves an exec as far as its state lets it", arguments: Exec.State.allCases)
  func execMoves(state: Exec.State) {
    let moves: [Exec.State: [Exec.Operation: Exec.State]] = [
      .created: [.start: .running, .delete: .deleted], .stopped: [.delete: .deleted],
    ]
    for operation in Exec.Operation.allCases {
      var machine = Self.execMachine(in: state)
      machine.apply(operation)
      #expect(machine.state == moves[state]?[operation] ?? state, "\(operation) of \(state)")
    }
    var machine = Self.execMachine(in: state)
    #expect(machine.exited() == (state == .created || state == .running))
    #expect(machine.state == (state == .deleted ? .deleted : .stopped))
  }

  func refusalOf(_ body: () throws(LifecycleRefusal) -> Void) -> LifecycleRefusal? {
    do {
      try body()
      return nil
    } catch {
      return error
    }
  }
}
