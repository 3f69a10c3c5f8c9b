internal import CLinux
internal import Glibc
package import LinuxSystem
internal import Synchronization

/// One thread for the whole process that waits for descriptors: ends of children, pipes, timers.
///
/// It keeps waiting off the cooperative pool and needs no event loop of the caller. Handlers run on
/// it, one at a time, and must not block; what they write to may be gone, so the thread blocks
/// SIGPIPE (and every other signal: those belong to the program's own threads).
package final class ReadinessThread: Sendable {
  package typealias Handler = @Sendable () -> Void

  package enum Event {
    case readable
    case writable
  }

  /// A descriptor being watched, until ``ReadinessThread/remove(_:)``.
  package struct Watch: Hashable, Sendable {
    fileprivate let descriptor: Int32
    fileprivate let token: UInt64
  }

  private struct Table {
    var handlers: [UInt64: Handler] = [:]
    var nextToken: UInt64 = 0
  }

  private let epoll: Int32
  private let table = Mutex(Table())

  private init(epoll: Int32) { self.epoll = epoll }

  private static let instance = Mutex<ReadinessThread?>(nil)

  /// The process's one thread, started at its first use.
  package static func shared() throws(SystemError) -> ReadinessThread {
    try instance.withLock { instance throws(SystemError) in
      if let running = instance { return running }
      let started = try start()
      instance = started
      return started
    }
  }

  private static func start() throws(SystemError) -> ReadinessThread {
    let epoll = clinux_readiness_create()
    guard epoll >= 0 else { throw SystemError("epoll_create1", errno: -epoll) }
    let started = ReadinessThread(epoll: epoll)
    do throws(SystemError) {
      try startThread("hawse-process") { started.run() }
    } catch {
      close(epoll)
      throw error
    }
    return started
  }

  /// Calls the handler whenever the descriptor is ready, until the watch is removed. The descriptor
  /// must stay open until then.
  package func add(
    _ descriptor: Int32, for event: Event, _ handler: @escaping Handler
  ) throws(SystemError) -> Watch {
    let token = table.withLock { table in
      table.nextToken += 1
      table.handlers[table.nextToken] = handler
      return table.nextToken
    }
    let result = clinux_readiness_add(epoll, descriptor, event == .writable ? 1 : 0, token)
    guard result == 0 else {
      table.withLock { _ = $0.handlers.removeValue(forKey: token) }
      throw SystemError("epoll_ctl", errno: -result)
    }
    return Watch(descriptor: descriptor, token: token)
  }

  /// Ends a watch. A call of its handler that is under way, or about to be, may still come.
  package func remove(_ watch: Watch) {
    clinux_readiness_remove(epoll, watch.descriptor)
    table.withLock { _ = $0.handlers.removeValue(forKey: watch.token) }
  }

  private func run() -> Never {
    var tokens = [UInt64](repeating: 0, count: 64)
    while true {
      let count = clinux_readiness_wait(epoll, &tokens, Int32(tokens.count))
      for token in tokens.prefix(Int(count)) {
        table.withLock { $0.handlers[token] }?()
      }
    }
  }
}
