import Testing

@testable import OCIShim

@Suite("ExitLedger")
struct ExitLedgerTests {
  static func end(_ pid: Int32, _ status: UInt32 = 0, start: UInt64? = nil) -> ExitLedger.Exit {
    ExitLedger.Exit(
      pid: pid, startTime: start,
      exit: ProcessEnd(status: status, time: WallTime(seconds: 1, nanoseconds: 2)))
  }

  static func tell(_ key: ProcessKey, _ pid: Int32, _ status: UInt32 = 0) -> ExitLedger.Effect {
    .tell(key, pid: pid, end(pid, status).exit)
  }

  let a = ProcessKey(container: "a", exec: nil)
  let x = ProcessKey(container: "a", exec: "x")
  let y = ProcessKey(container: "a", exec: "y")

  /// A ledger with container `a`, created and started with PID 10.
  func started() throws -> ExitLedger {
    var ledger = ExitLedger()
    let create = ledger.willCreate("a")
    #expect(ledger.didStart(create, pid: 10, startTime: 100) == [])
    let start = try ledger.willStart(a)
    #expect(ledger.didStart(start, pid: 10, startTime: 100) == [])
    return ledger
  }

  @Test("an exit during create waits for create's event")
  func earlyDuringCreate() {
    var ledger = ExitLedger()
    let ticket = ledger.willCreate("a")
    #expect(ledger.exited(Self.end(10, 3)) == [])
    #expect(ledger.unclaimedCount == 1)
    #expect(
      ledger.didStart(ticket, pid: 10, startTime: nil)
        == [.initEnded(container: "a"), Self.tell(a, 10, 3)])
    #expect(ledger.unclaimedCount == 0)
  }

  @Test("an exit during start waits for start's event, and is known at once")
  func earlyDuringStart() throws {
    var ledger = ExitLedger()
    let create = ledger.willCreate("a")
    _ = ledger.didStart(create, pid: 10, startTime: 100)
    let start = try ledger.willStart(a)
    #expect(ledger.exited(Self.end(10, 3, start: 100)) == [.initEnded(container: "a")])
    #expect(ledger.initHasEnded("a"))
    #expect(ledger.didStart(start, pid: 10, startTime: nil) == [Self.tell(a, 10, 3)])
  }

  @Test("a start that fails lets the exit of its init out")
  func failedStart() throws {
    var ledger = ExitLedger()
    let create = ledger.willCreate("a")
    _ = ledger.didStart(create, pid: 10, startTime: 100)
    let start = try ledger.willStart(a)
    _ = ledger.exited(Self.end(10, 1))
    #expect(ledger.startFailed(start) == [Self.tell(a, 10, 1)])
    #expect(ledger.startFailed(start) == [])
  }

  @Test("the init's exit is held until all execs have ended")
  func initLast() throws {
    var ledger = try started()
    let first = try ledger.willStart(x)
    _ = ledger.didStart(first, pid: 11, startTime: 110)
    let second = try ledger.willStart(y)
    #expect(ledger.exited(Self.end(10)) == [.initEnded(container: "a")])
    #expect(ledger.exited(Self.end(11)) == [Self.tell(x, 11)])
    #expect(ledger.exited(Self.end(12, 9)) == [])
    #expect(
      ledger.didStart(second, pid: 12, startTime: nil)
        == [Self.tell(y, 12, 9), Self.tell(a, 10)])
  }

  @Test("an exec that fails to start holds the init's exit no longer")
  func failedExec() throws {
    var ledger = try started()
    let exec = try ledger.willStart(x)
    #expect(ledger.exited(Self.end(10)) == [.initEnded(container: "a")])
    #expect(ledger.startFailed(exec) == [Self.tell(a, 10)])
  }

  @Test("no exec starts once the init's end is known")
  func execAfterInit() throws {
    var ledger = try started()
    let exec = try ledger.willStart(x)
    _ = ledger.exited(Self.end(10))
    #expect(throws: LifecycleRefusal.self) { try ledger.willStart(y) }
    #expect(ledger.startFailed(exec) == [Self.tell(a, 10)])
    let none = ProcessKey(container: "b", exec: nil)
    #expect(throws: LifecycleRefusal.self) { try ledger.willStart(none) }
  }

  @Test("a number that is used again is told apart by the time of its start")
  func reuse() throws {
    var ledger = try started()
    // An orphan with the number of an exec that is about to start.
    let exec = try ledger.willStart(x)
    #expect(ledger.exited(Self.end(11, 7, start: 90)) == [])
    #expect(ledger.didStart(exec, pid: 11, startTime: 110) == [])
    // An exit of another process with the init's number.
    #expect(ledger.exited(Self.end(10, 8, start: 999)) == [])
    #expect(!ledger.initHasEnded("a"))
    #expect(ledger.exited(Self.end(11, 5, start: 110)) == [Self.tell(x, 11, 5)])
  }

  @Test("of two with one number that both died early, each is told")
  func reuseOfTheDead() throws {
    var ledger = try started()
    let first = try ledger.willStart(x)
    #expect(ledger.exited(Self.end(11, 1)) == [])
    let second = try ledger.willStart(y)
    #expect(ledger.exited(Self.end(11, 2)) == [])
    #expect(ledger.didStart(first, pid: 11, startTime: nil) == [Self.tell(x, 11, 1)])
    #expect(ledger.didStart(second, pid: 11, startTime: nil) == [Self.tell(y, 11, 2)])
  }

  @Test("an exit from before a start is not the start's")
  func before() throws {
    var ledger = try started()
    let first = try ledger.willStart(x)
    _ = ledger.exited(Self.end(12, 1))
    let second = try ledger.willStart(y)
    #expect(ledger.didStart(second, pid: 12, startTime: nil) == [])
    #expect(ledger.didStart(first, pid: 11, startTime: nil) == [])
    #expect(ledger.unclaimedCount == 0)
    #expect(ledger.exited(Self.end(12, 2)) == [Self.tell(y, 12, 2)])
  }

  @Test("exits of nobody are kept no longer than a start is under way")
  func bounded() throws {
    var ledger = try started()
    for pid in 1000..<1100 { _ = ledger.exited(Self.end(Int32(pid))) }
    #expect(ledger.unclaimedCount == 0)
    let exec = try ledger.willStart(x)
    for pid in 1000..<1100 { _ = ledger.exited(Self.end(Int32(pid))) }
    #expect(ledger.unclaimedCount == 100)
    _ = ledger.startFailed(exec)
    #expect(ledger.unclaimedCount == 0)
  }

  @Test("a container that is forgotten is told of no more")
  func forget() throws {
    var ledger = try started()
    ledger.forget(container: "a")
    #expect(ledger.exited(Self.end(10)) == [])
    let create = ledger.willCreate("a")
    #expect(ledger.didStart(create, pid: 10, startTime: 300) == [])
  }
}
