import Testing

@testable import TransportRelay

@Suite("The ends of a bridge")
struct RelayStateMachineTests {
  enum Event: Sendable {
    case inputEnded(RelayStateMachine.Side)
    case gone(RelayStateMachine.Side)
    case flushed(Bool, RelayStateMachine.Side)
    case abort
  }

  struct Row: Sendable, CustomTestStringConvertible {
    var name: String
    var events: [Event]
    var actions: [RelayStateMachine.Action]
    var nearCarries = true
    var farCarries = true
    var isOver = false
    var isClean = true
    var testDescription: String { name }
  }

  static let rows: [Row] = [
    Row(
      name: "an end of input is passed on", events: [.inputEnded(.near)],
      actions: [.closeOutput(.far)]),
    Row(
      name: "an end waits for what was sent before it",
      events: [.flushed(false, .far), .inputEnded(.near)], actions: []),
    Row(
      name: "and is passed on behind it",
      events: [.flushed(false, .far), .inputEnded(.near), .flushed(true, .far)],
      actions: [.closeOutput(.far)]),
    Row(
      name: "both ends close both sides, each once",
      events: [.inputEnded(.near), .inputEnded(.far), .gone(.far), .gone(.near)],
      actions: [.closeOutput(.far), .close(.far), .close(.near)], isOver: true),
    Row(
      name: "a side that cannot be told is not closed",
      events: [.inputEnded(.near)], actions: [], farCarries: false),
    Row(
      name: "the end of a side that cannot half-close is its close",
      events: [.inputEnded(.far), .gone(.far)],
      actions: [.close(.far), .closeOutput(.near), .discard(.near)], farCarries: false),
    Row(
      name: "a side that could not be told is closed when the other is gone",
      events: [.inputEnded(.near), .gone(.near)],
      actions: [.discard(.far), .close(.far)], farCarries: false),
    Row(
      name: "a side gone in order leaves the other its end",
      events: [.inputEnded(.near), .gone(.near)],
      actions: [.closeOutput(.far), .discard(.far)]),
    Row(
      name: "what a side left is delivered before the other hears of it",
      events: [.flushed(false, .far), .inputEnded(.near), .gone(.near), .flushed(true, .far)],
      actions: [.discard(.far), .closeOutput(.far)]),
    Row(
      name: "a side that failed fails the other", events: [.gone(.far)],
      actions: [.discard(.near), .abort(.near)], isClean: false),
    Row(
      name: "a failure waits for what was sent before it",
      events: [.flushed(false, .near), .gone(.far), .flushed(true, .near), .gone(.near)],
      actions: [.discard(.near), .abort(.near)], isOver: true, isClean: false),
    Row(
      name: "an abort closes both sides once", events: [.abort, .abort],
      actions: [.abort(.near), .abort(.far)], isClean: false),
    Row(
      name: "an abort leaves alone who is gone",
      events: [.inputEnded(.near), .gone(.near), .abort],
      actions: [.closeOutput(.far), .discard(.far), .abort(.far)], isClean: false),
  ]

  @Test("become each other's", arguments: rows)
  func table(_ row: Row) {
    var machine = RelayStateMachine()
    var actions = machine.begin(
      nearCarriesHalfClose: row.nearCarries, farCarriesHalfClose: row.farCarries)
    for event in row.events {
      switch event {
      case .inputEnded(let side): actions += machine.inputEnded(side)
      case .gone(let side): actions += machine.gone(side)
      case .flushed(let isFlushed, let side): actions += machine.flushed(isFlushed, side)
      case .abort: actions += machine.abortAll()
      }
    }
    #expect(actions == row.actions)
    #expect(machine.isOver == row.isOver)
    #expect(machine.isClean == row.isClean)
  }

  @Test("what happened before there were two sides is acted on when there are")
  func beforeTheBeginning() {
    var machine = RelayStateMachine()
    #expect(machine.inputEnded(.near) == [])
    #expect(machine.gone(.near) == [])
    #expect(
      machine.begin(nearCarriesHalfClose: true, farCarriesHalfClose: true)
        == [.discard(.far), .closeOutput(.far)])
  }

  @Test("whatever happens in whatever order: nobody is closed twice, and all that is asked ends it")
  func anyOrder() {
    var random = SystemRandomNumberGenerator()
    for round in 0..<2_000 {
      var machine = RelayStateMachine()
      _ = machine.begin(
        nearCarriesHalfClose: .random(using: &random), farCarriesHalfClose: .random(using: &random))
      var closed: Set<RelayStateMachine.Side> = []
      var gone: Set<RelayStateMachine.Side> = []
      var queue: [RelayStateMachine.Action] = []
      var steps = 0
      while !machine.isOver {
        steps += 1
        let side = RelayStateMachine.Side.allCases.randomElement(using: &random) ?? .near
        // What was asked for happens at some time; so does anything else.
        switch Int.random(in: 0..<(steps < 50 ? 4 : 5), using: &random) {
        case 0: if !gone.contains(side) { queue += machine.inputEnded(side) }
        case 1: if !gone.contains(side) { queue += machine.flushed(false, side) }
        case 2: if !gone.contains(side) { queue += machine.flushed(true, side) }
        case 4: queue += machine.abortAll()
        default:
          if closed.contains(side), gone.insert(side).inserted { queue += machine.gone(side) }
        }
        for action in queue {
          switch action {
          case .close(let side), .abort(let side):
            #expect(closed.insert(side).inserted, "round \(round)")
          case .closeOutput(let side): #expect(!closed.contains(side), "round \(round)")
          case .discard: break
          }
        }
        queue = []
        if steps > 10_000 {
          Issue.record("round \(round) does not end")
          return
        }
      }
    }
  }
}
