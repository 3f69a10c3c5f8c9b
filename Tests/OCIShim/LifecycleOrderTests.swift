import Testing

@testable import OCIShim

/// SplitMix64: the same interleavings for the same seed.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Containers and execs that are started, die and are deleted in an order that a seed decides, with
/// few PIDs, so that they are used again.
struct LifecycleSimulation {
  enum Told: Hashable { case create, start, exit, delete }

  struct Process {
    var key: ProcessKey
    var ticket: ExitLedger.Ticket?
    var isCreated = false
    var isStarted = false
    /// The runtime's command has made the process.
    var pid: Int32?
    var startTime: UInt64 = 0
    var isAlive = false
    var isOver = false
  }

  var random: SeededGenerator
  var ledger = ExitLedger()
  var processes: [Process] = []
  var log: [ProcessKey: [Told]] = [:]
  var order: [(ProcessKey, Told)] = []
  var initEnds: [String: Int] = [:]
  var clock: UInt64 = 1

  init(seed: UInt64, containers: Int, execs: Int) {
    random = SeededGenerator(state: seed)
    for container in 0..<containers {
      processes.append(Process(key: ProcessKey(container: "c\(container)", exec: nil)))
      for exec in 0..<execs {
        processes.append(Process(key: ProcessKey(container: "c\(container)", exec: "e\(exec)")))
      }
    }
  }

  mutating func tell(_ key: ProcessKey, _ what: Told) {
    log[key, default: []].append(what)
    order.append((key, what))
  }

  mutating func carryOut(_ effects: [ExitLedger.Effect]) {
    for effect in effects {
      switch effect {
      case .initEnded(let container):
        initEnds[container, default: 0] += 1
        // As the end of its PID namespace: all that runs in it dies.
        for index in processes.indices
        where processes[index].key.container == container && processes[index].isAlive {
          die(index)
        }
      case .tell(let key, _, _): tell(key, .exit)
      }
    }
  }

  mutating func die(_ index: Int) {
    guard processes[index].isAlive, let pid = processes[index].pid else { return }
    processes[index].isAlive = false
    let exit = ProcessEnd(status: 0, time: WallTime(seconds: 0, nanoseconds: 0))
    carryOut(
      ledger.exited(.init(pid: pid, startTime: processes[index].startTime, exit: exit)))
  }

  mutating func spawn(_ index: Int) {
    let used = Set(processes.filter(\.isAlive).compactMap(\.pid))
    var pid = Int32.random(in: 2...400, using: &random)
    while used.contains(pid) { pid = Int32.random(in: 2...400, using: &random) }
    clock += 1
    processes[index].pid = pid
    processes[index].startTime = clock
    processes[index].isAlive = true
  }

  /// One step of one process; false when it has none left.
  mutating func step(_ index: Int) {
    let process = processes[index]
    let key = process.key
    if process.isOver { return }
    if let ticket = process.ticket {
      // The command is under way: the process appears, may die at once, and the command returns.
      if process.pid == nil {
        if !key.isInit, Int.random(in: 0..<6, using: &random) == 0 {
          processes[index].ticket = nil
          processes[index].isOver = true
          return carryOut(ledger.startFailed(ticket))
        }
        // The runtime cannot enter a container whose init is gone.
        if !key.isInit,
          !processes.contains(where: {
            $0.key == ProcessKey(container: key.container, exec: nil) && $0.isAlive
          })
        {
          processes[index].ticket = nil
          processes[index].isOver = true
          return carryOut(ledger.startFailed(ticket))
        }
        return spawn(index)
      }
      if process.isAlive, Int.random(in: 0..<4, using: &random) == 0 { return die(index) }
      processes[index].ticket = nil
      if key.isInit, !process.isCreated {
        tell(key, .create)
        processes[index].isCreated = true
      } else {
        tell(key, .start)
        processes[index].isStarted = true
      }
      return carryOut(
        ledger.didStart(
          ticket, pid: process.pid, startTime: process.isAlive ? process.startTime : nil))
    }
    if log[key]?.contains(.exit) == true {
      // A delete of the init waits for those of its execs, as containerd's does.
      if key.isInit {
        let busy = processes.contains {
          $0.key.container == key.container && !$0.key.isInit && !$0.isOver
        }
        if busy { return }
        ledger.forget(container: key.container)
      }
      tell(key, .delete)
      processes[index].isOver = true
      return
    }
    if key.isInit, !process.isCreated {
      processes[index].ticket = ledger.willCreate(key.container)
    } else if !process.isStarted, key.isInit ? process.isAlive : canExec(key) {
      do throws(LifecycleRefusal) {
        processes[index].ticket = try ledger.willStart(key)
      } catch {
        processes[index].isOver = true
      }
    } else if process.isAlive, Int.random(in: 0..<3, using: &random) == 0 {
      die(index)
    }
  }

  func canExec(_ key: ProcessKey) -> Bool {
    processes.contains {
      $0.key == ProcessKey(container: key.container, exec: nil) && $0.isStarted
    } || ledger.initHasEnded(key.container)
      || log[ProcessKey(container: key.container, exec: nil)]?
        .contains(.exit) == true
  }

  mutating func run() -> Bool {
    for _ in 0..<200_000 {
      let left = processes.indices.filter { !processes[$0].isOver }
      guard let index = left.randomElement(using: &random) else { return true }
      step(index)
    }
    return false
  }
}

@Suite("Order of create, start, exit and delete")
struct LifecycleOrderTests {
  @Test(
    "holds for every process in any interleaving: each once, execs before their init",
    arguments: [1, 2, 3, 41, 43, 60] as [UInt64])
  func order(seed: UInt64) {
    var simulation = LifecycleSimulation(seed: seed, containers: 50, execs: 3)
    let ended = simulation.run()
    #expect(ended, "something is never told: \(simulation.processes.filter { !$0.isOver })")
    for process in simulation.processes {
      let told = simulation.log[process.key] ?? []
      if process.key.isInit {
        let isWhole = told == [.create, .start, .exit, .delete]
        #expect(isWhole || told == [.create, .exit, .delete], "\(process.key): \(told)")
        #expect(simulation.initEnds[process.key.container] == 1)
      } else {
        #expect(told == [.start, .exit, .delete] || told == [], "\(process.key): \(told)")
      }
    }
    var endedInits: Set<String> = []
    for (key, told) in simulation.order where told == .exit {
      #expect(!endedInits.contains(key.container), "\(key) told behind its init")
      if key.isInit { endedInits.insert(key.container) }
    }
    #expect(simulation.ledger.unclaimedCount == 0)
  }
}
