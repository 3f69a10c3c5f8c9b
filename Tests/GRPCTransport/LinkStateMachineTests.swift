#if GRPC
  import RPCCore
  import Testing
  import TransportCore

  @testable import GRPCTransport

  @Suite("When a redialling client dials, and who waits")
  struct LinkStateMachineTests {
    typealias Machine = LinkStateMachine<String, Int>
    private let now = ContinuousClock.now
    private let failure = RPCCore.RPCError(code: .unavailable, message: "x")

    private func machine(_ most: Int = 10) -> Machine {
      Machine(
        backoff: .init(first: .seconds(1), most: .seconds(8)), maximumWaiting: most)
    }

    private func ask(
      _ machine: inout Machine, _ token: UInt64, patient: Bool, after: Duration = .zero
    ) -> String {
      let answer = machine.ask(
        token, Int(token), isPatient: patient, now: now + after, isAlive: { $0 != "dead" })
      return switch answer {
      case .use(let link): "use \(link)"
      case .dial: "dial"
      case .wait: "wait"
      case .rest(let rest): "rest \(rest)"
      case .fail: "fail"
      case .full: "full"
      }
    }

    private func dialled(
      _ machine: inout Machine, _ outcome: Result<String, RPCCore.RPCError>, _ random: Double
    ) -> (tell: [Int], rest: Duration?)? {
      machine.dialled(outcome, now: now, random: random)
    }

    private func rested(_ machine: inout Machine) -> Bool { machine.rested() }

    private func close(_ machine: inout Machine) -> (String?, [Int])? { machine.close(failure) }

    private func withdraw(_ machine: inout Machine, _ token: UInt64) -> Int? {
      machine.withdraw(token)
    }

    @Test("one dial serves all who wait for it")
    func oneDial() throws {
      var machine = machine()
      #expect(ask(&machine, 1, patient: false) == "dial")
      #expect(ask(&machine, 2, patient: true) == "wait")
      let told = try #require(dialled(&machine, .success("a"), 0))
      #expect(Set(told.tell) == [1, 2] && told.rest == nil)
      #expect(ask(&machine, 3, patient: false) == "use a")
    }

    @Test("a failed dial fails the hasty; the patient wait for the next one")
    func patience() throws {
      var machine = machine()
      _ = ask(&machine, 1, patient: false)
      _ = ask(&machine, 2, patient: true)
      let told = try #require(dialled(&machine, .failure(failure), 0))
      #expect(told.tell == [1] && told.rest == .seconds(1))
      #expect(ask(&machine, 3, patient: false) == "fail")
      #expect(ask(&machine, 4, patient: true) == "wait")
      #expect(rested(&machine))
      #expect(!rested(&machine))
      let next = try #require(dialled(&machine, .success("b"), 0))
      #expect(Set(next.tell) == [2, 4])
    }

    @Test("pauses grow with each failure, up to the longest, and begin anew with a success")
    func pauses() throws {
      var machine = machine()
      var rests: [Duration] = []
      _ = ask(&machine, 1, patient: true)
      for _ in 0..<4 {
        rests.append(
          try #require(dialled(&machine, .failure(failure), 1)?.rest))
        #expect(rested(&machine))
      }
      #expect(rests == [.seconds(3), .seconds(8), .seconds(8), .seconds(8)])
      _ = dialled(&machine, .success("dead"), 1)
      #expect(ask(&machine, 2, patient: true) == "dial")
      #expect(dialled(&machine, .failure(failure), 1)?.rest == .seconds(3))
    }

    @Test("no more wait than may, and who has given up does not count")
    func limit() {
      var machine = machine(2)
      #expect(ask(&machine, 1, patient: true) == "dial")
      #expect(ask(&machine, 2, patient: false) == "wait")
      #expect(ask(&machine, 3, patient: true) == "full")
      #expect(withdraw(&machine, 1) == 1 && withdraw(&machine, 1) == nil)
      #expect(ask(&machine, 4, patient: true) == "wait")
    }

    @Test("nobody dials after a rest for which nobody waits")
    func nobody() {
      var machine = machine()
      _ = ask(&machine, 1, patient: true)
      _ = withdraw(&machine, 1)
      #expect(dialled(&machine, .failure(failure), 0)?.rest == nil)
      #expect(!rested(&machine))
      #expect(ask(&machine, 2, patient: false, after: .seconds(2)) == "dial")
    }

    @Test("who comes first during a rest that nobody waited for sees to its end")
    func firstWhileResting() {
      var machine = machine()
      _ = ask(&machine, 1, patient: false)
      #expect(dialled(&machine, .failure(failure), 0)?.rest == nil)
      #expect(ask(&machine, 2, patient: true, after: .milliseconds(400)) == "rest 0.6 seconds")
      #expect(ask(&machine, 3, patient: true, after: .milliseconds(500)) == "wait")
      #expect(rested(&machine))
      #expect(Set(dialled(&machine, .success("a"), 0)?.tell ?? []) == [2, 3])
    }

    @Test("a closed client fails all, and a dial that comes through then has no use")
    func closed() throws {
      var machine = machine()
      _ = ask(&machine, 1, patient: true)
      let ended = try #require(close(&machine))
      #expect(ended.1 == [1])
      #expect(dialled(&machine, .success("late"), 0) == nil)
      #expect(ask(&machine, 2, patient: true) == "fail")
      #expect(close(&machine) == nil)
    }
  }
#endif
