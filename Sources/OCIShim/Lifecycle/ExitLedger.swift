internal import RPCCore

/// Which exits may be told, and when.
///
/// Children end at any time, also before the command that started them has returned and said which
/// process they are. The ledger keeps such exits until somebody claims them, and lets out each
/// process's exit once, behind its start, with the init's behind those of all execs of its
/// container. It does no I/O, and one lock is enough for all containers: every call is short.
///
/// The caller, for every process:
/// 1. ``willCreate(_:)`` or ``willStart(_:)`` before the runtime's command is spawned;
/// 2. after the command, the event is published;
/// 3. then ``didStart(_:pid:startTime:)``, or ``startFailed(_:)`` when there is no process;
/// 4. and the effects of every call are carried out in order.
struct ExitLedger: Sendable {
  enum Effect: Hashable, Sendable {
    /// The init has ended, which is not to be told yet: what it leaves behind must be killed now,
    /// where no PID namespace of its own does that.
    case initEnded(container: String)
    /// The exit is to be told now.
    case tell(ProcessKey, pid: Int32, ProcessEnd)
  }

  /// A process as the reaper saw it.
  struct Exit: Hashable, Sendable {
    var pid: Int32
    /// Of `/proc/PID/stat`, where it could be read while the process was a zombie.
    var startTime: UInt64?
    var exit: ProcessEnd
  }

  /// That a start is under way: every exit since then may be that of its process.
  struct Ticket: Hashable, Sendable {
    fileprivate var number: UInt64
    let key: ProcessKey
  }

  private struct Identity: Hashable {
    var pid: Int32
    var startTime: UInt64?

    /// Whether an exit can be this process's: a time that is not known decides nothing.
    func matches(_ exit: Exit) -> Bool {
      guard pid == exit.pid else { return false }
      guard let startTime, let other = exit.startTime else { return true }
      return startTime == other
    }
  }

  private struct Process {
    var identity: Identity?
    /// A command that starts it is under way: its exit waits for that command's event.
    var isStarting = false
    var exit: ProcessEnd?
  }

  private struct Container {
    var initProcess: Process?
    var execs: [String: Process] = [:]
    var initExit: ProcessEnd?
    var initIsTold = false
  }

  private var containers: [String: Container] = [:]
  /// The running processes with their number; several where one number was used again.
  private var running: [Int32: [ProcessKey]] = [:]
  /// The tickets that are open, by number, which grow.
  private var open: Set<UInt64> = []
  private var nextTicket: UInt64 = 1
  /// Exits of nobody that is known, each with the number of the last ticket that was open then.
  private var unclaimed: [(after: UInt64, exit: Exit)] = []

  /// How many exits are kept for starts that are under way.
  var unclaimedCount: Int { unclaimed.count }

  // MARK: Starting

  /// Before `create` (or `restore`) is run for a container.
  mutating func willCreate(_ container: String) -> Ticket {
    containers[container] = Container(initProcess: Process(isStarting: true))
    return ticket(ProcessKey(container: container, exec: nil))
  }

  /// Before `start` is run for a container, or `exec` for a process of it. An exit of the init
  /// that comes from here on waits for ``didStart(_:pid:startTime:)``.
  ///
  /// - Throws: FailedPrecondition for an exec of a container whose init has ended.
  mutating func willStart(_ key: ProcessKey) throws(LifecycleRefusal) -> Ticket {
    guard var container = containers[key.container] else {
      throw LifecycleRefusal(code: .notFound, message: "container not created")
    }
    if let exec = key.exec {
      guard container.initExit == nil else {
        throw LifecycleRefusal(
          code: .failedPrecondition,
          message: "container \(key.container)'s init process is not running")
      }
      container.execs[exec] = Process(isStarting: true)
    } else {
      container.initProcess?.isStarting = true
    }
    containers[key.container] = container
    return ticket(key)
  }

  private mutating func ticket(_ key: ProcessKey) -> Ticket {
    defer { nextTicket += 1 }
    open.insert(nextTicket)
    return Ticket(number: nextTicket, key: key)
  }

  /// The start succeeded, and its event is on its way.
  ///
  /// - Parameters:
  ///   - pid: of the process; nil for one that has none yet, as before a restore.
  ///   - startTime: of the process that has this number now, read after the command; nil when
  ///     there is none.
  mutating func didStart(_ ticket: Ticket, pid: Int32?, startTime: UInt64?) -> [Effect] {
    guard open.remove(ticket.number) != nil else { return [] }
    defer { dropUnclaimable() }
    let key = ticket.key
    guard var process = process(key) else { return [] }
    process.isStarting = false
    var effects: [Effect] = []
    if process.identity == nil, let pid {
      let identity = Identity(pid: pid, startTime: startTime)
      process.identity = identity
      if let exit = claim(identity, since: ticket) {
        process.exit = exit
      } else {
        running[pid, default: []].append(key)
      }
    }
    set(key, process)
    if key.isInit, process.exit != nil { effects += noteInitEnd(key.container) }
    return effects + release(key)
  }

  /// The start failed. For an init that exists already, its own exit is let out if it came.
  mutating func startFailed(_ ticket: Ticket) -> [Effect] {
    guard open.remove(ticket.number) != nil else { return [] }
    defer { dropUnclaimable() }
    let key = ticket.key
    guard var process = process(key) else { return [] }
    process.isStarting = false
    guard process.identity != nil else {
      // There never was a process.
      if let exec = key.exec {
        containers[key.container]?.execs[exec] = nil
        return release(ProcessKey(container: key.container, exec: nil))
      }
      containers[key.container] = nil
      return []
    }
    set(key, process)
    return release(key)
  }

  // MARK: Ending

  /// Some child of this process has ended and was reaped.
  mutating func exited(_ exit: Exit) -> [Effect] {
    let owners = (running[exit.pid] ?? []).filter { process($0)?.identity?.matches(exit) == true }
    guard let key = owners.first, var process = process(key) else {
      // With no start under way it is nobody's: an orphan that the subreaper got.
      if !open.isEmpty { unclaimed.append((after: nextTicket - 1, exit: exit)) }
      return []
    }
    running[exit.pid]?.removeAll { $0 == key }
    if running[exit.pid]?.isEmpty == true { running[exit.pid] = nil }
    process.exit = exit.exit
    set(key, process)
    let noted = key.isInit ? noteInitEnd(key.container) : []
    return noted + release(key)
  }

  /// Whether the init's end is known, told or not.
  func initHasEnded(_ container: String) -> Bool { containers[container]?.initExit != nil }

  /// Forgets a container, after its delete.
  mutating func forget(container: String) {
    guard let gone = containers.removeValue(forKey: container) else { return }
    let identities = [gone.initProcess?.identity] + gone.execs.values.map(\.identity)
    for pid in identities.compactMap({ $0?.pid }) {
      running[pid]?.removeAll { $0.container == container }
      if running[pid]?.isEmpty == true { running[pid] = nil }
    }
  }

  // MARK: What is let out

  private mutating func noteInitEnd(_ container: String) -> [Effect] {
    guard containers[container]?.initExit == nil,
      let exit = containers[container]?.initProcess?.exit
    else { return [] }
    containers[container]?.initExit = exit
    return [.initEnded(container: container)]
  }

  private mutating func release(_ key: ProcessKey) -> [Effect] {
    var effects: [Effect] = []
    if let exec = key.exec, let process = process(key), !process.isStarting,
      let exit = process.exit, let identity = process.identity
    {
      containers[key.container]?.execs[exec] = nil
      effects.append(.tell(key, pid: identity.pid, exit))
    }
    // An exec is in the table for as long as it is starting or running.
    guard let container = containers[key.container], !container.initIsTold,
      container.execs.isEmpty, let process = container.initProcess, !process.isStarting,
      let exit = process.exit, let identity = process.identity
    else { return effects }
    containers[key.container]?.initIsTold = true
    let initKey = ProcessKey(container: key.container, exec: nil)
    return effects + [.tell(initKey, pid: identity.pid, exit)]
  }

  // MARK: The tables

  private func process(_ key: ProcessKey) -> Process? {
    guard let container = containers[key.container] else { return nil }
    if let exec = key.exec { return container.execs[exec] }
    return container.initProcess
  }

  private mutating func set(_ key: ProcessKey, _ process: Process) {
    if let exec = key.exec {
      containers[key.container]?.execs[exec] = process
    } else {
      containers[key.container]?.initProcess = process
    }
  }

  /// The first exit of that process since the ticket. Where a number was used again meanwhile and
  /// nothing tells the two apart, the later exit is left for the process that was started later:
  /// it may be all that this one can claim.
  private mutating func claim(_ identity: Identity, since ticket: Ticket) -> ProcessEnd? {
    let found = unclaimed.firstIndex { $0.after >= ticket.number && identity.matches($0.exit) }
    guard let found else { return nil }
    return unclaimed.remove(at: found).exit.exit
  }

  /// Drops the exits that came before every start that is still under way.
  private mutating func dropUnclaimable() {
    guard let first = open.min() else {
      unclaimed.removeAll()
      return
    }
    unclaimed.removeAll { $0.after < first }
  }
}
