internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Connects to one of a host's addresses: ``HappyEyeballs`` put to work. Those that lose leave no
/// descriptor.
struct AddressRace {
  let host: String
  let port: UInt16
  let settings: TCPSettings
  let resolver: NameResolver
  /// Whether only this machine's loopback may be dialled.
  let isLoopbackOnly: Bool

  struct Winner {
    var socket: ClientSocket
    var timings: [PhaseTiming]
  }

  private enum Event: Sendable {
    case resolved(InternetAddress.Family, Result<[InternetAddress], ResolutionFailure>)
    case resolutionDelayPassed
    case attemptDelayPassed(Int)
    case connected(ClientSocket)
    case failed(InternetAddress, CInt)
  }

  func run() async throws(AttemptFailure) -> Winner {
    let literal: InternetAddress?
    do throws(InternetAddress.UnknownZone) {
      literal = try InternetAddress.parse(host)
    } catch {
      throw AttemptFailure(
        phase: .connect, errno: ENODEV,
        message: "this machine has no network interface \(error.zone)", outlook: .notReady,
        hint: "check the zone, which is what follows the %")
    }
    if let literal { return try await dial(literal) }
    return try await race().get()
  }

  /// One address races nobody.
  private func dial(_ address: InternetAddress) async throws(AttemptFailure) -> Winner {
    var report = RaceReport(host: host, port: port, isName: false)
    guard !isLoopbackOnly || address.isLoopback else {
      report.forbidden = [address]
      throw report.failure
    }
    let began = ContinuousClock.now
    switch await connect(to: address) {
    case .success(let socket):
      return Winner(
        socket: socket, timings: [PhaseTiming(.connect, ContinuousClock.now - began)])
    case .failure(let failure):
      guard !Task.isCancelled else { throw report.cancellation }
      report.attempts.append((address, failure.errno))
      throw report.failure
    }
  }

  private func race() async -> Result<Winner, AttemptFailure> {
    let clock = ContinuousClock()
    let began = clock.now
    return await withTaskGroup(of: Event.self) { group in
      var machine = HappyEyeballs(resolving: [.v4, .v6])
      var report = RaceReport(host: host, port: port, isName: true)
      var started: ContinuousClock.Instant?
      var winner: ClientSocket?
      var connected = began

      func handle(_ event: Event) -> [HappyEyeballs.Action] {
        switch event {
        case .resolved(let family, .success(let addresses)):
          let allowed = addresses.filter { !isLoopbackOnly || $0.isLoopback }
          report.forbidden += addresses.filter { isLoopbackOnly && !$0.isLoopback }
          return machine.resolved(family, allowed)
        case .resolved(let family, .failure(let failure)):
          report.resolutions.append(failure)
          return machine.resolved(family, [])
        case .resolutionDelayPassed: return machine.resolutionDelayPassed()
        case .attemptDelayPassed(let number): return machine.attemptDelayPassed(number)
        case .failed(let address, let errno):
          report.attempts.append((address, errno))
          return machine.attemptFailed()
        case .connected(let socket):
          if winner == nil {
            winner = socket
            connected = clock.now
          } else {
            socket.close()
          }
          group.cancelAll()
          return []
        }
      }

      func perform(_ action: HappyEyeballs.Action) {
        switch action {
        case .connect(let address):
          if started == nil { started = clock.now }
          group.addTask {
            switch await connect(to: address) {
            case .success(let socket): .connected(socket)
            case .failure(let failure): .failed(address, failure.errno)
            }
          }
        case .startResolutionDelay:
          group.addTask { await pass(HappyEyeballs.resolutionDelay, .resolutionDelayPassed) }
        case .startAttemptDelay(let number):
          group.addTask { await pass(HappyEyeballs.attemptDelay, .attemptDelayPassed(number)) }
        case .giveUp: group.cancelAll()
        }
      }

      for family in InternetAddress.Family.allCases {
        group.addTask { .resolved(family, await resolver.resolve(host, family)) }
      }
      for await event in group {
        let actions = handle(event)
        guard winner == nil, !group.isCancelled else { continue }
        for action in actions { perform(action) }
      }
      guard let winner else {
        return .failure(Task.isCancelled ? report.cancellation : report.failure)
      }
      let start = started ?? began
      return .success(
        Winner(
          socket: winner,
          timings: [
            PhaseTiming(.resolve, start - began), PhaseTiming(.connect, connected - start),
          ]))
    }
  }

  /// Cancelled or not, it passes: whom it would wake looks for itself.
  private func pass(_ delay: Duration, _ event: Event) async -> Event {
    try? await Task.sleep(for: delay)
    return event
  }

  private func connect(to address: InternetAddress) async -> Result<ClientSocket, SystemError> {
    let made = socket(
      address.family == .v4 ? AF_INET : AF_INET6,
      Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue),
      Int32(IPPROTO_TCP))
    guard made >= 0 else { return .failure(SystemError("socket", errno: errno)) }
    let socket = ClientSocket(owning: made)
    var failure = settings.apply(to: made)
    if failure == 0 {
      failure = await socket.connect {
        address.withSocketAddress(port: port) { Glibc.connect(made, $0, $1) < 0 ? -errno : 0 }
      }
    }
    // A port of this machine's own that nobody listens at may be the one that the kernel gave this
    // socket: then it has connected to itself.
    if failure == 0, let local = InternetEndpoint(localOf: made),
      local == InternetEndpoint(peerOf: made)
    {
      failure = ECONNREFUSED
    }
    guard failure == 0 else {
      socket.close()
      return .failure(SystemError("connect", errno: failure))
    }
    return .success(socket)
  }
}
