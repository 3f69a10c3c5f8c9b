internal import Synchronization

/// The end of a serving process: asked for once, by whoever comes first; then everybody who
/// registered cleans up, all at the same time and within a limit.
public final class ShimShutdown: Sendable {
  /// What a callback did not do.
  public struct Failure: Sendable, CustomStringConvertible {
    public var name: String
    /// Nil when it did not end in time.
    public var error: (any Error)?

    public var description: String {
      error.map { "\(name): \($0)" } ?? "\(name) did not end in time"
    }
  }

  public typealias Callback = @Sendable () async throws -> Void

  private let limit: Duration
  private let state = Mutex(ShutdownStateMachine())

  /// - Parameter limit: how long all callbacks may take, from the beginning of the shutdown.
  public init(limit: Duration = .seconds(30)) { self.limit = limit }

  /// Has something done when the process ends. It is called once, on the pool; at once when the
  /// shutdown has begun already, and not at all when it is over.
  ///
  /// - Parameter name: what it is called when it fails or takes too long.
  public func onShutdown(_ name: String, _ callback: @escaping Callback) {
    let key = state.withLock { $0.add(name, callback) }
    if let key { run(key, callback) }
  }

  /// Begins the shutdown, and returns at once. Does nothing when it has begun.
  ///
  /// - Parameter reason: what is logged.
  public func begin(_ reason: String) {
    guard let begun = state.withLock({ $0.begin(reason) }) else { return }
    for waiter in begun.waiters { waiter.resume() }
    for (key, callback) in begun.callbacks { run(key, callback) }
    Task {
      // Nobody cancels this task; a sleep that ended early would only shorten the limit.
      try? await Task.sleep(for: self.limit)
      self.finish { $0.timeOut() }
    }
    finish { $0.settle() }
  }

  public var hasBegun: Bool { state.withLock { $0.reason != nil } }

  /// Waits until somebody asks for the end.
  ///
  /// - Returns: the reason.
  func begun() async -> String {
    await withCheckedContinuation { waiter in
      let isNow = state.withLock { $0.awaitBeginning(waiter) }
      if isNow { waiter.resume() }
    }
    return state.withLock { $0.reason ?? "" }
  }

  /// Waits until the shutdown is over: all callbacks have ended, or the limit has passed.
  ///
  /// - Returns: what went wrong, in the order in which it was registered.
  public func wait() async -> [Failure] {
    await withCheckedContinuation { waiter in
      let isNow = state.withLock { $0.awaitEnd(waiter) }
      if isNow { waiter.resume() }
    }
    return state.withLock { $0.failures }
  }

  private func run(_ key: Int, _ callback: @escaping Callback) {
    Task {
      do {
        try await callback()
        finish { $0.ended(key, nil) }
      } catch {
        finish { $0.ended(key, error) }
      }
    }
  }

  private func finish(
    _ step: (inout ShutdownStateMachine) -> [CheckedContinuation<Void, Never>]
  ) {
    let waiters = state.withLock { step(&$0) }
    for waiter in waiters { waiter.resume() }
  }
}

/// The shutdown's state, without its tasks.
struct ShutdownStateMachine {
  typealias Waiter = CheckedContinuation<Void, Never>

  private enum Outcome {
    case waiting(ShimShutdown.Callback)
    case running
    case ended((any Error)?)
    case late
  }

  private(set) var reason: String?
  private var isOver = false
  private var callbacks: [(name: String, outcome: Outcome)] = []
  private var beginners: [Waiter] = []
  private var enders: [Waiter] = []

  /// The key of a callback that is to be run now.
  mutating func add(_ name: String, _ callback: @escaping ShimShutdown.Callback) -> Int? {
    guard !isOver else { return nil }
    callbacks.append((name, reason == nil ? .waiting(callback) : .running))
    return reason == nil ? nil : callbacks.count - 1
  }

  /// Nil when it has begun before.
  mutating func begin(
    _ reason: String
  ) -> (waiters: [Waiter], callbacks: [(Int, ShimShutdown.Callback)])? {
    guard self.reason == nil else { return nil }
    self.reason = reason
    var toRun: [(Int, ShimShutdown.Callback)] = []
    for key in callbacks.indices {
      guard case .waiting(let callback) = callbacks[key].outcome else { continue }
      callbacks[key].outcome = .running
      toRun.append((key, callback))
    }
    defer { beginners = [] }
    return (beginners, toRun)
  }

  mutating func ended(_ key: Int, _ error: (any Error)?) -> [Waiter] {
    guard !isOver else { return [] }
    callbacks[key].outcome = .ended(error)
    return settle()
  }

  mutating func timeOut() -> [Waiter] {
    guard !isOver else { return [] }
    for key in callbacks.indices {
      if case .running = callbacks[key].outcome { callbacks[key].outcome = .late }
    }
    return settle()
  }

  /// Over when nothing runs any more.
  mutating func settle() -> [Waiter] {
    let isBusy = callbacks.contains { callback in
      if case .running = callback.outcome { true } else { false }
    }
    guard reason != nil, !isOver, !isBusy else { return [] }
    isOver = true
    defer { enders = [] }
    return enders
  }

  /// Whether it has begun, so that the waiter is not kept.
  mutating func awaitBeginning(_ waiter: Waiter) -> Bool {
    if reason == nil { beginners.append(waiter) }
    return reason != nil
  }

  /// Whether it is over, so that the waiter is not kept.
  mutating func awaitEnd(_ waiter: Waiter) -> Bool {
    if !isOver { enders.append(waiter) }
    return isOver
  }

  var failures: [ShimShutdown.Failure] {
    callbacks.compactMap { callback in
      switch callback.outcome {
      case .ended(let error?): ShimShutdown.Failure(name: callback.name, error: error)
      case .late: ShimShutdown.Failure(name: callback.name, error: nil)
      default: nil
      }
    }
  }
}
