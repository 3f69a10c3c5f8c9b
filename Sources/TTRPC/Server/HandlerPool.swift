internal import Dispatch
internal import Glibc
internal import LinuxSystem
internal import NIOCore
internal import NIOPosix
internal import RPCCore
internal import Synchronization

/// Takes handlers off an event loop: their tasks run on threads that may block, and their results
/// come back to the loop.
///
/// To wake a thread, and to be woken by it, costs more than most handlers do. So what one tick of the
/// loop delivers is handed over together, and results travel back when the thread has no more to do.
/// As long as handlers prove quick, neither side sleeps at once: each watches for the other for some
/// microseconds first, as mutexes do. One thread of its own begins; others join when it proves too
/// slow: at once when a handler has taken long, within ``tick`` when one does not return. There are
/// never more than processors, but for a single one.
///
/// One serves all connections of a loop.
final class HandlerPool: TaskExecutor, @unchecked Sendable {
  // @unchecked: `shared` is behind its lock, and what is marked as the loop's is only touched there.

  /// What the pool's own thread does.
  private enum Own {
    case none, awake, asleep
  }

  private struct Shared {
    var jobs = CircularBuffer<UnownedJob>()
    var returns: [ServerReturn] = []
    var own = Own.none
    /// Threads that work, the own one among them while it is awake.
    var threads = 0
    /// The loop knows of the returns, or will look for them.
    var isAnnounced = false
    var enqueued: UInt64 = 0
    var taken: UInt64 = 0
  }

  /// What must be done when the lock has been released.
  private enum Wake {
    case nothing, signal, startOwn, startOther
  }

  /// What a thread does that works for the pool.
  private final class Worker {
    let pool: HandlerPool
    var returns: [ServerReturn] = []

    init(_ pool: HandlerPool) { self.pool = pool }
  }

  private let eventLoop: any EventLoop
  private let shared = Mutex(Shared())
  private let wakeUp = DispatchSemaphore(value: 0)
  /// For those who watch without the lock.
  private let hasJobs = Atomic(false)
  private let hasReturns = Atomic(false)

  // The loop's.
  private var gathered: [UnownedJob] = []
  private var isTickScheduled = false
  private var isWatching = false
  /// How many jobs there had been at the last look.
  private var enqueuedAtLook: UInt64 = 0
  private var arrived: [ServerReturn] = []
  /// Connections that have got results and not gone on yet.
  private var delivered: [ServerHandler] = []
  private var touched: [ServerHandler] = []
  /// Handlers that have not returned.
  private var outstanding = 0
  private var penalty = 0

  static let width = max(2, System.coreCount)
  /// How long a handler may keep a thread before that gets help, and results wait behind it.
  private static let tick = TimeAmount.milliseconds(1)
  /// A handler that takes longer, in nanoseconds, is not quick.
  private static let slow: UInt64 = 50_000
  /// How long one side watches for the other, in nanoseconds, before it sleeps: the loop for
  /// results, the thread for jobs.
  private static let loopPatience: UInt64 = 50_000
  private static let threadPatience: UInt64 = 100_000
  /// How often a side sleeps at once after it has watched for nothing.
  private static let penalty = 16

  private init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  /// The pool of the loop that the current thread runs.
  static func shared(on eventLoop: any EventLoop) -> HandlerPool {
    // A thread may run another loop than before (tests do that).
    if let known = ofThisThread.currentValue, known.eventLoop === eventLoop { return known }
    let made = HandlerPool(eventLoop)
    ofThisThread.currentValue = made
    return made
  }

  private static let ofThisThread = ThreadSpecificVariable<HandlerPool>()

  // MARK: Jobs in

  /// Notes that a handler will run here.
  func begin() { outstanding += 1 }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if eventLoop.inEventLoop { return gather(job) }
    let wake = shared.withLock { shared in
      shared.jobs.append(job)
      shared.enqueued += 1
      // Who is awake may be busy for long, and nobody looks after this job.
      if shared.own == .awake, shared.threads < Self.width {
        shared.threads += 1
        return Wake.startOther
      }
      return Self.wakeOwn(&shared)
    }
    hasJobs.store(true, ordering: .releasing)
    carryOut(wake)
  }

  private func gather(_ job: UnownedJob) {
    gathered.append(job)
    guard !isTickScheduled else { return }
    isTickScheduled = true
    eventLoop.assumeIsolated().execute { self.submit() }
  }

  /// Hands over what the tick has brought.
  private func submit() {
    isTickScheduled = false
    let isCrowd = gathered.count > 1
    let (wake, mustWatch) = shared.withLock { shared in
      let wasBusy = shared.threads > 0
      shared.jobs.append(contentsOf: gathered)
      shared.enqueued += UInt64(gathered.count)
      return (Self.wakeOwn(&shared), wasBusy || isCrowd)
    }
    hasJobs.store(true, ordering: .releasing)
    gathered.removeAll(keepingCapacity: true)
    carryOut(wake)
    if penalty > 0 { penalty -= 1 } else { awaitReturns() }
    // The thread that is awake may be in a handler that does not return.
    if mustWatch, outstanding > 0 || hasWaitingJobs { watch() }
  }

  private var hasWaitingJobs: Bool { shared.withLock { !$0.jobs.isEmpty } }

  private static func wakeOwn(_ shared: inout Shared) -> Wake {
    switch shared.own {
    case .awake: return .nothing
    case .asleep:
      shared.own = .awake
      shared.threads += 1
      return .signal
    case .none:
      shared.own = .awake
      shared.threads += 1
      return .startOwn
    }
  }

  private func carryOut(_ wake: Wake) {
    switch wake {
    case .nothing: break
    case .signal: wakeUp.signal()
    case .startOther: DispatchQueue.global().async { self.help() }
    case .startOwn:
      do {
        try startThread("ttrpc-handlers", stackSize: nil) { self.work() }
      } catch {
        // No thread of our own: the process's will do.
        DispatchQueue.global().async { self.work() }
      }
    }
  }

  // MARK: Returns out

  /// Sends a handler's result to the loop.
  func giveBack(_ result: ServerReturn) {
    if let worker = Self.currentWorker, worker.pool === self {
      return worker.returns.append(result)
    }
    let mustAnnounce = shared.withLock { shared in
      shared.returns.append(result)
      return Self.announce(&shared)
    }
    if mustAnnounce { announce() }
  }

  private static func announce(_ shared: inout Shared) -> Bool {
    guard !shared.isAnnounced, !shared.returns.isEmpty else { return false }
    shared.isAnnounced = true
    return true
  }

  private func announce() { eventLoop.execute { self.takeReturns() } }

  /// Watches for the results of quick handlers.
  private func awaitReturns() {
    let known = shared.withLock { shared in
      defer { shared.isAnnounced = true }
      return shared.isAnnounced
    }
    // They are announced already: the loop will come to it.
    guard !known else { return }
    let end = monotonicNanoseconds() + Self.loopPatience
    while outstanding > 0 {
      if hasReturns.load(ordering: .acquiring) { deliver(staysAnnounced: true) }
      if monotonicNanoseconds() > end {
        penalty = Self.penalty
        break
      }
    }
    takeReturns()
  }

  private func takeReturns() {
    deliver(staysAnnounced: false)
    guard !delivered.isEmpty else { return }
    swap(&delivered, &touched)
    for connection in touched { connection.goOn() }
    touched.removeAll(keepingCapacity: true)
  }

  private func deliver(staysAnnounced: Bool) {
    hasReturns.store(false, ordering: .relaxed)
    shared.withLock { shared in
      swap(&arrived, &shared.returns)
      shared.isAnnounced = staysAnnounced
    }
    outstanding -= arrived.count
    for item in arrived {
      let connection = item.connection.value
      if connection.ended(item.call, item.result) { delivered.append(connection) }
    }
    arrived.removeAll(keepingCapacity: arrived.count < 4096)
  }

  // MARK: Looking after threads

  private func watch() {
    guard !isWatching else { return }
    isWatching = true
    eventLoop.assumeIsolated().scheduleTask(in: Self.tick) { self.look() }
  }

  /// Jobs that have waited since the last look need another thread, and results need not wait for
  /// the handler that runs behind them.
  private func look() {
    let last = enqueuedAtLook
    let (mustStart, goesOn) = shared.withLock { shared in
      enqueuedAtLook = shared.enqueued
      let mustStart = shared.taken < last && shared.threads < Self.width
      if mustStart { shared.threads += 1 }
      return (mustStart, !shared.jobs.isEmpty || !shared.returns.isEmpty)
    }
    if mustStart { carryOut(.startOther) }
    isWatching = false
    if goesOn { watch() }
    takeReturns()
  }

  // MARK: Threads

  /// The own thread's life. It ends when there has been nothing to do for a while.
  private func work() {
    let worker = Worker(self)
    Self.currentWorker = worker
    defer { Self.currentWorker = nil }
    var penalty = 0
    while true {
      drain(worker)
      if penalty > 0 {
        penalty -= 1
      } else if !watchForJobs() {
        penalty = Self.penalty
      }
      let sleeps = shared.withLock { shared in
        guard shared.jobs.isEmpty else { return false }
        shared.own = .asleep
        shared.threads -= 1
        return true
      }
      if sleeps, wakeUp.wait(timeout: .now() + .seconds(1)) == .timedOut {
        let ends = shared.withLock { shared in
          guard shared.own == .asleep else { return false }
          shared.own = .none
          return true
        }
        if ends { return }
        // Woken in the same moment.
        wakeUp.wait()
      }
    }
  }

  private func watchForJobs() -> Bool {
    let end = monotonicNanoseconds() + Self.threadPatience
    while !hasJobs.load(ordering: .acquiring) {
      if monotonicNanoseconds() > end { return false }
    }
    return true
  }

  /// A thread of the process's pool that joins in until nothing is left.
  private func help() {
    let worker = Worker(self)
    Self.currentWorker = worker
    defer { Self.currentWorker = nil }
    var isNeeded = true
    while isNeeded {
      drain(worker)
      isNeeded = shared.withLock { shared in
        // Who put a job there in the meantime counted on this thread.
        guard shared.jobs.isEmpty else { return true }
        shared.threads -= 1
        return false
      }
    }
  }

  private func drain(_ worker: Worker) {
    let executor = asUnownedTaskExecutor()
    var began = monotonicNanoseconds()
    var isSlow = false
    while true {
      var mustAnnounce = false
      var wake = Wake.nothing
      hasJobs.store(false, ordering: .relaxed)
      let job: UnownedJob? = shared.withLock { shared in
        shared.returns.append(contentsOf: worker.returns)
        let job = shared.jobs.popFirst()
        if job != nil {
          shared.taken += 1
          if isSlow, !shared.jobs.isEmpty, shared.threads < Self.width {
            shared.threads += 1
            wake = .startOther
          }
        }
        if job == nil || isSlow || shared.returns.count >= 4 {
          mustAnnounce = (job == nil || isSlow) && Self.announce(&shared)
          if !shared.returns.isEmpty { hasReturns.store(true, ordering: .releasing) }
        }
        return job
      }
      worker.returns.removeAll(keepingCapacity: true)
      if mustAnnounce { announce() }
      carryOut(wake)
      guard let job else { return }
      job.runSynchronously(on: executor)
      let now = monotonicNanoseconds()
      isSlow = now - began > Self.slow
      began = now
    }
  }

  /// Who works on the current thread. It is set only while its thread is in `work` or `help`, which
  /// hold the object.
  private static var currentWorker: Worker? {
    get {
      pthread_getspecific(key).map { Unmanaged<Worker>.fromOpaque($0).takeUnretainedValue() }
    }
    set { pthread_setspecific(key, newValue.map { Unmanaged.passUnretained($0).toOpaque() }) }
  }

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let error = pthread_key_create(&key, nil)
    // There are a thousand keys, and no way on without one.
    precondition(error == 0, "pthread_key_create: errno \(error)")
    return key
  }()
}

/// A handler's result on its way to the connection that it belongs to.
struct ServerReturn: Sendable {
  let connection: NIOLoopBound<ServerHandler>
  let call: ServerCall
  let result: Result<ByteBuffer, RPCError>
}

private func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
