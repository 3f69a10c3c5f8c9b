/// Which address of a name to try when: RFC 8305, with the two families asked for apart.
///
/// IPv6 is tried as soon as its addresses are known; IPv4 alone waits a moment for them. From there on
/// the families take turns, the next address being tried when one has failed or has not connected for
/// a while, while the earlier tries go on. It knows no clock: who drives it starts the delays.
struct HappyEyeballs {
  /// How long IPv4 addresses wait for those of IPv6 (RFC 8305, 3).
  static let resolutionDelay = Duration.milliseconds(50)
  /// How long a try has to itself (RFC 8305, 5).
  static let attemptDelay = Duration.milliseconds(250)
  /// Addresses of one family that are tried; a name may have any number.
  static let limit = 16

  enum Action: Equatable {
    case connect(InternetAddress)
    case startResolutionDelay
    /// Tell ``attemptDelayPassed(_:)`` the number.
    case startAttemptDelay(Int)
    /// There is nothing left to try or to wait for.
    case giveUp
  }

  private var unresolved: Set<InternetAddress.Family>
  private var untried: [InternetAddress.Family: ArraySlice<InternetAddress>] = [:]
  private var nextFamily = InternetAddress.Family.v6
  private var isConnecting = false
  private var inFlight = 0
  private var delay = 0
  /// The last try has had its time to itself.
  private var isDue = true

  /// - Parameter families: those whose addresses are being asked for.
  init(resolving families: Set<InternetAddress.Family>) { unresolved = families }

  /// The addresses of one family are known; none, when it has none or they cannot be found out.
  mutating func resolved(
    _ family: InternetAddress.Family, _ addresses: [InternetAddress]
  ) -> [Action] {
    unresolved.remove(family)
    untried[family] = addresses.prefix(Self.limit)
    if !isConnecting {
      if family == .v4, !addresses.isEmpty, unresolved.contains(.v6) {
        return [.startResolutionDelay]
      }
      // Nothing yet: the other family's answer, or the delay for it, is still to come.
      if addresses.isEmpty, !unresolved.isEmpty { return [] }
      isConnecting = true
    }
    return isDue || inFlight == 0 ? advance() : []
  }

  mutating func resolutionDelayPassed() -> [Action] {
    guard !isConnecting else { return [] }
    isConnecting = true
    return advance()
  }

  mutating func attemptDelayPassed(_ number: Int) -> [Action] {
    guard number == delay else { return [] }
    isDue = true
    return advance()
  }

  mutating func attemptFailed() -> [Action] {
    inFlight -= 1
    isDue = true
    return advance()
  }

  private mutating func advance() -> [Action] {
    guard let address = next() else {
      return inFlight == 0 && unresolved.isEmpty ? [.giveUp] : []
    }
    inFlight += 1
    delay += 1
    isDue = false
    return [.connect(address), .startAttemptDelay(delay)]
  }

  private mutating func next() -> InternetAddress? {
    let other: InternetAddress.Family = nextFamily == .v6 ? .v4 : .v6
    for family in [nextFamily, other] {
      guard let address = untried[family]?.popFirst() else { continue }
      nextFamily = family == .v6 ? .v4 : .v6
      return address
    }
    return nil
  }
}
