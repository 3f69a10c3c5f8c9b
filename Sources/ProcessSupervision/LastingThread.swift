internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// One thread that lives as long as this process, for what the kernel ties to a thread's life: a
/// parent-death signal comes when the *thread* that made the child ends.
final class LastingThread: Sendable {
  private static let instance = Mutex<LastingThread?>(nil)
  private let work = Mutex<[@Sendable () -> Void]>([])
  private let hasWork = Semaphore()

  /// The process's one such thread, started at its first use.
  static func shared() throws(SystemError) -> LastingThread {
    try instance.withLock { instance throws(SystemError) in
      if let instance { return instance }
      let started = LastingThread()
      try startThread("hawse-spawn") { started.run() }
      instance = started
      return started
    }
  }

  /// Runs the body there and waits for it.
  func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) -> Value {
    let result = Mutex<Value?>(nil)
    let isDone = Semaphore()
    work.withLock { work in
      work.append {
        let value = body()
        result.withLock { $0 = value }
        isDone.signal()
      }
    }
    hasWork.signal()
    isDone.wait()
    // It was set before the signal.
    return result.withLock { $0.unsafelyUnwrapped }
  }

  private func run() -> Never {
    while true {
      hasWork.wait()
      // As many signals as there is work.
      work.withLock { $0.removeFirst() }()
    }
  }
}

/// sem_overview(7), within this process.
private final class Semaphore: @unchecked Sendable {
  // Unchecked: a semaphore is made to be used by several threads at a time.
  private let pointer = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init() { sem_init(pointer, 0, 0) }

  deinit {
    sem_destroy(pointer)
    pointer.deallocate()
  }

  func signal() { sem_post(pointer) }

  func wait() { while sem_wait(pointer) != 0, errno == EINTR {} }
}
