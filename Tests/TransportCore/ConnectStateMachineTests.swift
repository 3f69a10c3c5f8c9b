import Testing

@testable import TransportCore

@Suite struct ConnectStateMachineTests {
  typealias Action = ConnectStateMachine.Action

  private func machine(
    timeout: Duration = .seconds(10), tryLimit: Duration = .seconds(5),
    mode: ConnectOptions.Mode = .waitUntilReady()
  ) -> ConnectStateMachine {
    ConnectStateMachine(ConnectOptions(timeout: timeout, tryLimit: tryLimit, mode: mode))
  }

  @Test("A try may take no longer than its limit and than what is left of the time")
  func limits() {
    let machine = machine()
    #expect(machine.next(now: .zero) == .attempt(limit: .seconds(5)))
    #expect(machine.next(now: .seconds(8)) == .attempt(limit: .seconds(2)))
    #expect(machine.next(now: .seconds(10)) == .giveUp(.timedOut))
    #expect(self.machine(timeout: .zero).next(now: .zero) == .giveUp(.timedOut))
  }

  @Test(
    "Failing fast tries once, whatever the failure",
    arguments: [AttemptFailure.Outlook.notReady, .transient, .fatal])
  func failFast(outlook: AttemptFailure.Outlook) {
    var machine = machine(mode: .failFast)
    let action = machine.failed(outlook, now: .milliseconds(1), random: 0.5)
    #expect(action == .giveUp(.connectFailed))
  }

  @Test("Waiting tries again unless the failure is fatal")
  func waiting() {
    for outlook in [AttemptFailure.Outlook.notReady, .transient] {
      var machine = machine()
      #expect(machine.failed(outlook, now: .zero, random: 0) == .pause(.milliseconds(10)))
    }
    var machine = machine()
    #expect(machine.failed(.fatal, now: .zero, random: 0) == .giveUp(.connectFailed))
  }

  @Test("Pauses stay between the first one and three times the last, and below the most")
  func jitter() {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<200 {
      var machine = machine(timeout: .seconds(1_000_000))
      var last = Duration.milliseconds(10)
      for _ in 0..<20 {
        let action = machine.failed(
          .notReady, now: .zero, random: .random(in: 0...1, using: &random))
        guard case .pause(let pause) = action else {
          Issue.record("gave up")
          return
        }
        #expect(pause >= .milliseconds(10) && pause <= .seconds(1))
        #expect(pause <= last * 3)
        last = pause
      }
    }
  }

  @Test("There is one last try shortly before the end")
  func lastTry() {
    var machine = machine(
      mode: .waitUntilReady(.init(first: .milliseconds(10), most: .seconds(60))))
    for _ in 0..<10 { _ = machine.failed(.notReady, now: .zero, random: 1) }
    let action = machine.failed(.notReady, now: .seconds(9), random: 1)
    #expect(action == .pause(.milliseconds(990)))
    #expect(machine.failed(.notReady, now: .milliseconds(9990), random: 1) == .giveUp(.timedOut))
  }

  @Test("Odd settings neither spin nor overflow")
  func oddSettings() {
    let forever = Duration.seconds(Int64.max / 2)
    for backoff in [
      ConnectOptions.Backoff(first: .zero, most: .zero),
      .init(first: .seconds(-1), most: .seconds(-1)),
      .init(first: .seconds(5), most: .seconds(1)), .init(first: .seconds(1), most: forever),
    ] {
      var machine = machine(timeout: forever, tryLimit: forever, mode: .waitUntilReady(backoff))
      #expect(machine.next(now: .zero) == .attempt(limit: forever))
      for _ in 0..<100 {
        guard case .pause(let pause) = machine.failed(.notReady, now: .zero, random: 1) else {
          Issue.record("gave up")
          return
        }
        #expect(pause > .zero && pause <= .seconds(3600))
      }
    }
  }

  @Test("Tries that failed alike are one entry, and entries are bounded")
  func log() {
    func failure(_ message: String) -> AttemptFailure {
      AttemptFailure(phase: .connect, message: message, outlook: .notReady)
    }
    var log = AttemptLog()
    for _ in 0..<1000 { log.append(failure("same"), took: .milliseconds(1)) }
    #expect(log.attempts.count == 1)
    #expect(log.attempts[0].count == 1000)
    #expect(log.attempts[0].duration == .seconds(1))
    for index in 0..<1000 { log.append(failure("\(index)"), took: .zero) }
    #expect(log.attempts.count <= 32)
    #expect(log.attempts.reduce(0) { $0 + $1.count } == 2000)
  }
}
