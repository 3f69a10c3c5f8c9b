internal import Dispatch
internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import RPCCore
internal import Synchronization

/// Takes handlers off an event loop: their tasks run on the process's concurrency threads, as many at
/// once as there are processors, and their results come back to the loop.
///
/// A thread that is woken costs more than most handlers. So what one read delivers is handed over
/// together, one thread begins with it, and results travel back when it has no more to do. Other
/// threads join when that proves too slow: at once when a handler has taken long, within
/// ``tick`` when one does not return.
///
/// One serves all connections of a loop.
final class HandlerPool: TaskExecutor, @unchecked Sendable {
  // @unchecked: `shared` is behind its lock, and what is marked as the loop's is only touched there.

  private struct Shared {
    var jobs = CircularBuffer<UnownedJob>()
    var returns: [ServerReturn] = []
    /// The loop has been told that there are returns, or someone will tell it.
    var isAnnounced = false
    /// Threads that work, or have been asked to.
    var threads = 0
    var enqueued: UInt64 = 0
    var taken: UInt64 = 0
  }

  /// What a thread does that works for the pool.
  private final class Worker {
    let pool: HandlerPool
    var returns: [ServerReturn] = []

    init(_ pool: HandlerPool) { self.pool = pool }
  }

  private let eventLoop: any EventLoop
  private let shared = Mutex(Shared())

  // The loop's.
  private var isGathering = false
  private var gathered: [UnownedJob] = []
  private var isWatching = false
  /// How many jobs there had been at the last tick.
  private var enqueuedAtTick: UInt64 = 0
  private var taken: [ServerReturn] = []

  private static let width = max(1, System.coreCount)
  /// How long a thread may be slow before it gets help, and results wait behind a handler.
  private static let tick = TimeAmount.milliseconds(1)
  private static let slow: UInt64 = 50_000

  private init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  // MARK: The loop's side

  /// The pool of the loop that the current thread runs.
  static func shared(on eventLoop: any EventLoop) -> HandlerPool {
    // A thread may run another loop than before (tests do that).
    if let known = ofThisThread.currentValue, known.eventLoop === eventLoop { return known }
    let made = HandlerPool(eventLoop)
    ofThisThread.currentValue = made
    return made
  }

  private static let ofThisThread = ThreadSpecificVariable<HandlerPool>()

  /// Keeps back the tasks that are made from here on, until ``submit()``.
  func gather() { isGathering = true }

  func submit() {
    isGathering = false
    guard !gathered.isEmpty else { return }
    let (mustStart, mustWatch) = shared.withLock { shared in
      shared.jobs.append(contentsOf: gathered)
      shared.enqueued += UInt64(gathered.count)
      let mustStart = shared.threads == 0
      if mustStart { shared.threads = 1 }
      return (mustStart, !mustStart || gathered.count > 1)
    }
    gathered.removeAll(keepingCapacity: true)
    if mustStart { startThread() }
    if mustWatch { watch() }
  }

  private func watch() {
    guard !isWatching else { return }
    isWatching = true
    eventLoop.assumeIsolated().scheduleTask(in: Self.tick) { self.look() }
  }

  /// Looks after the threads: jobs that have waited since the last look need another one, and
  /// results need not wait for the handler that runs behind them.
  private func look() {
    let last = enqueuedAtTick
    let (mustStart, goesOn) = shared.withLock { shared in
      enqueuedAtTick = shared.enqueued
      let mustStart = shared.taken < last && shared.threads < Self.width
      if mustStart { shared.threads += 1 }
      return (mustStart, !shared.jobs.isEmpty || shared.threads > 0)
    }
    if mustStart { startThread() }
    isWatching = false
    if goesOn { watch() }
    takeReturns()
  }

  private func takeReturns() {
    shared.withLock { shared in
      swap(&taken, &shared.returns)
      shared.isAnnounced = false
    }
    guard !taken.isEmpty else { return }
    for item in taken { item.deliver() }
    for item in taken { item.finishDelivery() }
    taken.removeAll(keepingCapacity: taken.count < 4096)
  }

  // MARK: Any thread's side

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if eventLoop.inEventLoop, isGathering { return gathered.append(job) }
    let mustStart = shared.withLock { shared in
      shared.jobs.append(job)
      shared.enqueued += 1
      guard shared.threads < Self.width else { return false }
      shared.threads += 1
      return true
    }
    if mustStart { startThread() }
  }

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

  // MARK: The threads

  private func startThread() { DispatchQueue.global().async { self.work() } }

  private func work() {
    let worker = Worker(self)
    Self.currentWorker = worker
    defer { Self.currentWorker = nil }
    let executor = asUnownedTaskExecutor()
    var began = Self.now()
    var isSlow = false
    while true {
      var mustAnnounce = false
      var mustStart = false
      let job: UnownedJob? = shared.withLock { shared in
        if !worker.returns.isEmpty {
          shared.returns.append(contentsOf: worker.returns)
        }
        let job = shared.jobs.popFirst()
        if job == nil {
          shared.threads -= 1
        } else {
          shared.taken += 1
          if isSlow, !shared.jobs.isEmpty, shared.threads < Self.width {
            shared.threads += 1
            mustStart = true
          }
        }
        if job == nil || isSlow { mustAnnounce = Self.announce(&shared) }
        return job
      }
      worker.returns.removeAll(keepingCapacity: true)
      if mustAnnounce { announce() }
      if mustStart { startThread() }
      guard let job else { return }
      job.runSynchronously(on: executor)
      let now = Self.now()
      isSlow = now - began > Self.slow
      began = now
    }
  }

  private static func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Who works on the current thread. It is set only while `work` runs, which holds the object.
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
  let id: UInt32
  let bytes: Int
  let result: Result<ByteBuffer, RPCError>

  func deliver() { connection.value.ended(id, bytes, result) }
  func finishDelivery() { connection.value.goOn() }
}
