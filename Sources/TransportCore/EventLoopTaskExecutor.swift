public import NIOCore
internal import NIOPosix

/// Runs tasks on one event loop: a task that prefers it shares the thread of its connection's
/// handlers, so that a call costs no hop to another thread and back.
///
/// A job is always enqueued, never run from within the resume that made it ready: handlers are not
/// re-entered, and the calls that one read completes run together behind it.
///
/// The loop must outlive the tasks that run here. Work that blocks or computes for long does not
/// belong here, since it holds up everything else on the loop.
public final class EventLoopTaskExecutor: TaskExecutor, @unchecked Sendable {
  // @unchecked: what is mutable is touched on the event loop only.

  public let eventLoop: any EventLoop
  /// Jobs that were enqueued on the loop's own thread. They share one of its tasks.
  private var ready: [UnownedJob] = []
  private var running: [UnownedJob] = []
  private var isRunScheduled = false

  public init(_ eventLoop: any EventLoop) {
    self.eventLoop = eventLoop
  }

  public func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    guard eventLoop.inEventLoop else {
      return eventLoop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
    ready.append(job)
    scheduleRun()
  }

  private func scheduleRun() {
    guard !isRunScheduled else { return }
    isRunScheduled = true
    eventLoop.assumeIsolated().execute { self.run() }
  }

  /// Runs what is ready now. Jobs that come of it wait for the next turn, so that tasks which keep
  /// each other busy do not keep the loop.
  private func run() {
    swap(&ready, &running)
    let executor = asUnownedTaskExecutor()
    for job in running { job.runSynchronously(on: executor) }
    running.removeAll(keepingCapacity: running.count < 4096)
    isRunScheduled = false
    if !ready.isEmpty { scheduleRun() }
  }
}

extension EventLoopTaskExecutor {
  /// The executor of the loop that the current thread runs, one for all of the loop's connections:
  /// going from one to the other then costs no hop. Called elsewhere, it makes a new one.
  public static func shared(on eventLoop: any EventLoop) -> EventLoopTaskExecutor {
    guard eventLoop.inEventLoop else { return EventLoopTaskExecutor(eventLoop) }
    // A thread may run another loop than before (tests do that).
    if let known = ofThisThread.currentValue, known.eventLoop === eventLoop { return known }
    let made = EventLoopTaskExecutor(eventLoop)
    ofThisThread.currentValue = made
    return made
  }

  private static let ofThisThread = ThreadSpecificVariable<EventLoopTaskExecutor>()
}
