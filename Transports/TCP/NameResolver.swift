internal import LinuxSystem
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#endif

/// Finds the addresses of a name, one family at a time, so that a slow answer for one of them does
/// not hold up the other (RFC 8305, 3).
package struct NameResolver: Sendable {
  /// The addresses in the order in which they are to be tried (RFC 6724). It returns at once when
  /// its task is cancelled.
  package var resolve:
    @Sendable (_ name: String, _ family: InternetAddress.Family) async -> Result<
      [InternetAddress], ResolutionFailure
    >

  package init(
    resolve:
      @escaping @Sendable (_ name: String, _ family: InternetAddress.Family) async -> Result<
        [InternetAddress], ResolutionFailure
      >
  ) {
    self.resolve = resolve
  }

  /// getaddrinfo(3): the hosts file, DNS and whatever else the system is set up for.
  package static let system = NameResolver { name, family in
    let lookup = Lookup(name: name, family: family)
    return await withTaskCancellationHandler {
      await withCheckedContinuation { lookup.begin($0) }
    } onCancel: {
      lookup.settle(.failure(.cancelled))
    }
  }
}

package struct ResolutionFailure: Error, Sendable, Hashable {
  /// One of getaddrinfo's EAI_ numbers.
  package var code: Int32
  /// The error number of the system call that failed, with EAI_SYSTEM.
  package var errno: Int32

  package init(code: Int32, errno: Int32 = 0) {
    self.code = code
    self.errno = errno
  }

  static let cancelled = ResolutionFailure(code: EAI_SYSTEM, errno: ECANCELED)
}

/// One call of getaddrinfo, which may take as long as it likes: whoever waits for it may leave.
private final class Lookup: Sendable {
  typealias Answer = Result<[InternetAddress], ResolutionFailure>

  private enum State {
    case waiting(CheckedContinuation<Answer, Never>)
    case settled(Answer)
  }

  let name: String
  let family: InternetAddress.Family
  private let state = Mutex<State?>(nil)

  init(name: String, family: InternetAddress.Family) {
    self.name = name
    self.family = family
  }

  var isSettled: Bool {
    state.withLock { if case .settled = $0 { true } else { false } }
  }

  func begin(_ continuation: CheckedContinuation<Answer, Never>) {
    let early = state.withLock { state -> Answer? in
      if case .settled(let answer) = state { return answer }
      state = .waiting(continuation)
      return nil
    }
    if let early { return continuation.resume(returning: early) }
    do throws(SystemError) {
      try LookupThreads.run(self)
    } catch {
      settle(.failure(ResolutionFailure(code: EAI_SYSTEM, errno: error.errno)))
    }
  }

  /// The first answer counts.
  func settle(_ answer: Answer) {
    let continuation = state.withLock { state -> CheckedContinuation<Answer, Never>? in
      switch state {
      case .settled: return nil
      case .waiting(let continuation):
        state = .settled(answer)
        return continuation
      case nil:
        state = .settled(answer)
        return nil
      }
    }
    continuation?.resume(returning: answer)
  }

  /// Blocks.
  func perform() -> Answer {
    var hints = addrinfo()
    hints.ai_family = family == .v4 ? AF_INET : AF_INET6
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(name, nil, &hints, &list)
    guard code == 0 else { return .failure(ResolutionFailure(code: code, errno: errno)) }
    defer { freeaddrinfo(list) }
    var addresses: [InternetAddress] = []
    var entry = list
    while let info = entry?.pointee {
      if let address = info.ai_addr.flatMap({ InternetAddress($0) }) { addresses.append(address) }
      entry = info.ai_next
    }
    return .success(addresses)
  }
}

/// A few threads for lookups, which end when there is nothing to look up. Lookups that nobody waits
/// for any more take no thread.
private struct LookupThreads {
  private static let limit = 16
  private static let shared = Mutex(LookupThreads())

  private var count = 0
  private var queue: [Lookup] = []

  static func run(_ lookup: Lookup) throws(SystemError) {
    let needsThread = shared.withLock { threads in
      threads.queue.append(lookup)
      guard threads.count < limit else { return false }
      threads.count += 1
      return true
    }
    guard needsThread else { return }
    do throws(SystemError) {
      try startThread("hawse-resolve") {
        while let lookup = next() { lookup.settle(lookup.perform()) }
      }
    } catch {
      // Other threads may be there: then one of them takes it.
      let isAlone = shared.withLock { threads in
        threads.count -= 1
        return threads.count == 0
      }
      if isAlone { throw error }
    }
  }

  private static func next() -> Lookup? {
    shared.withLock { threads in
      threads.queue.removeAll { $0.isSettled }
      guard threads.queue.isEmpty else { return threads.queue.removeFirst() }
      threads.count -= 1
      return nil
    }
  }
}
