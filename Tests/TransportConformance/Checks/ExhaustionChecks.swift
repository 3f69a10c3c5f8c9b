internal import LinuxSystem
internal import NIOCore
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// A process that runs out of descriptors. The process must have nothing else to do meanwhile.
extension ConformanceCheck {
  static let exhaustion: [ConformanceCheck] = [
    ConformanceCheck(
      "dialer without descriptors",
      "A dialer that has no descriptor left says so, as something that passes",
      needsOwnProcess: true, where: \.usesDescriptors
    ) { run in
      try await run.withServer { server in
        // Whatever is made once is made by then, and none is given back later.
        try await server.withWire { try await $0.exchange(Request(.exchange, size: 9)) }
        try await run.leavingNothingOpen {
          try await server.withWire { try await $0.exchange(Request(.exchange, size: 9)) }
        }
        let address = try await server.address()
        let shortage = try await Shortage()
        let error = try await run.connectError(address)
        shortage.end()
        let outlook = error.attempts.last?.failure.outlook
        try run.expect(
          outlook == .transient, "the dialer does not say that it may have some later: \(error)")
        try run.expectShape(error, address)
        try await server.withWire { try await $0.exchange(Request(.exchange, size: 9)) }
      }
    },
    ConformanceCheck(
      "listener without descriptors",
      "A listener that has no descriptor left counts that, does not spin, and serves who waited",
      needsOwnProcess: true, where: { $0.usesDescriptors && $0.hasListener }
    ) { run in
      // Whatever is made once is made by then, and none is given back later.
      let once = {
        try await run.withServer { server in
          try await server.withWire { try await $0.exchange(Request(.exchange, size: 9)) }
        }
      }
      try await once()
      try await run.leavingNothingOpen { try await once() }
      let own = try await run.listen()
      let before = try openDescriptors().count
      let dialer = Task {
        try await run.withWire(to: own.dialled) {
          try await $0.exchange(Request(.exchange, size: 9))
        }
      }
      try await run.within("the dialer to begin") {
        while try openDescriptors().count <= before {
          try await Task.sleep(for: .milliseconds(10))
        }
      }
      // For what it opens besides the first descriptor.
      try await Task.sleep(for: .milliseconds(300))
      let shortage = try await Shortage()
      try await own.whileRunning {
        try await run.eventually("the listener to count that it could not accept") {
          own.listener.statistics.acceptErrors > 0
        }
        try await Task.sleep(for: .milliseconds(500))
        let errors = own.listener.statistics.acceptErrors
        shortage.end()
        try run.expect(errors < 200, "it failed to accept \(errors) times within half a second")
        try await dialer.value
        try await run.withWire(to: own.dialled) {
          try await $0.exchange(Request(.exchange, size: 9))
        }
      }
    },
  ]
}

/// All descriptors of the process are taken, until it ends.
private final class Shortage: Sendable {
  private let before: rlimit
  private let taken: [CInt]

  /// Takes them when none has been closed for a while: what was closed last is not gone at once.
  ///
  /// It does not wait while it has them: what the process itself needs one for would fail.
  init() async throws {
    var quietRounds = 0
    var count = try openDescriptors().count
    while quietRounds < 5 {
      try await Task.sleep(for: .milliseconds(50))
      let now = try openDescriptors().count
      quietRounds = now == count ? quietRounds + 1 : 0
      count = now
    }
    var limit = rlimit()
    getrlimit(Self.resource, &limit)
    before = limit
    // Few, so that taking them is quick; open ones beyond the limit stay open.
    limit.rlim_cur = min(limit.rlim_cur, 256)
    guard setrlimit(Self.resource, &limit) == 0 else { throw SystemError.last("setrlimit") }
    var taken: [CInt] = []
    while case let next = open("/dev/null", O_RDONLY | O_CLOEXEC), next >= 0 { taken.append(next) }
    self.taken = taken
  }

  /// Gives them back; once.
  func end() {
    for descriptor in taken { close(descriptor) }
    var limit = before
    setrlimit(Self.resource, &limit)
  }

  private static var resource: __rlimit_resource_t {
    __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
  }
}
