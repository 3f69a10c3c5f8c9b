internal import LinuxSystem
internal import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// What happened to each address of a host, and what it comes to as one failure.
struct RaceReport {
  let host: String
  let port: UInt16
  /// Whether the host is a name, rather than an address itself.
  let isName: Bool
  var resolutions: [ResolutionFailure] = []
  var attempts: [(address: InternetAddress, errno: CInt)] = []
  /// Addresses that were not dialled, since they are beyond this machine.
  var forbidden: [InternetAddress] = []

  init(host: String, port: UInt16, isName: Bool) {
    self.host = host
    self.port = port
    self.isName = isName
  }

  var cancellation: AttemptFailure {
    let isResolving = attempts.isEmpty && isName
    return AttemptFailure(
      phase: isResolving ? .resolve : .connect, errno: ECANCELED, message: "cancelled",
      outlook: .notReady,
      hint: isResolving
        ? "see whether this machine's name servers answer"
        : "see that the host runs and no firewall drops what is sent to its port \(port)")
  }

  var failure: AttemptFailure {
    if let telling = attempts.first(where: { TCPConnectFailure.outlook($0.errno) == .notReady })
      ?? attempts.first(where: { TCPConnectFailure.outlook($0.errno) == .transient })
      ?? attempts.first
    {
      return failure(telling.address, telling.errno)
    }
    if !forbidden.isEmpty { return PlaintextRule.dialFailure(host, forbidden) }
    return ResolutionReport(host: host, failures: resolutions).failure
  }

  private func failure(_ address: InternetAddress, _ errno: CInt) -> AttemptFailure {
    let who = isName ? "\(host) (\(address))" : host
    let one = TCPConnectFailure(errno: errno, who: who, port: port, isLocal: address.isLoopback)
    var failure = one.failure
    if attempts.count > 1 {
      let list = attempts.map { attempt in
        "\(InternetEndpoint(attempt.address, port: port)) \(errnoText(attempt.errno)) "
          + "(\(errnoName(attempt.errno)))"
      }
      failure.message = "no address of \(host) could be reached: \(list.joined(separator: ", "))"
    }
    return failure
  }
}

/// What the errors of connect(2) on a TCP socket mean, and whether trying again can help.
struct TCPConnectFailure {
  let errno: CInt
  let who: String
  let port: UInt16
  let isLocal: Bool

  static func outlook(_ errno: CInt) -> AttemptFailure.Outlook {
    switch errno {
    case ECONNREFUSED, ETIMEDOUT, ECONNRESET, ECONNABORTED, EPIPE, ENOTCONN, EHOSTUNREACH,
      EHOSTDOWN, ENETUNREACH, ENETDOWN, ECANCELED, EINTR:
      .notReady
    case EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EADDRINUSE, EAGAIN: .transient
    default: .fatal
    }
  }

  var failure: AttemptFailure {
    let (message, hint) = words
    return AttemptFailure(
      phase: .connect, errno: errno, message: message, outlook: Self.outlook(errno), hint: hint)
  }

  private var words: (message: String, hint: String?) {
    switch errno {
    case ECONNREFUSED:
      (
        "nobody listens at port \(port) of \(who)",
        isLocal
          ? "start the server, or check the port"
          : "start the server, check the port, and see that it listens beyond its own loopback"
      )
    case ETIMEDOUT:
      (
        "\(who) did not answer at port \(port)",
        "see that the host runs and no firewall drops what is sent to the port"
      )
    case ECONNRESET, ECONNABORTED, EPIPE, ENOTCONN:
      (
        "\(who) closed the connection at once",
        "its server may be starting, or something between drops connections"
      )
    case EHOSTUNREACH, EHOSTDOWN:
      ("the host \(who) cannot be reached", "see that it runs and is on the network")
    case ENETUNREACH, ENETDOWN:
      ("there is no network to \(who)", "see this machine's addresses and routes (ip route)")
    case EADDRNOTAVAIL, EADDRINUSE, EAGAIN:
      (
        "this machine has no address or port left to reach \(who) from",
        "too many connections may be open or just closed (ss -s)"
      )
    case EACCES, EPERM:
      ("this machine does not let anything out to \(who)", "see its firewall's rules")
    case EAFNOSUPPORT: ("this machine does not have the kind of network that \(who) is on", nil)
    case EINVAL:
      (
        "\(who) cannot be connected to",
        "a link-local address needs its interface, such as fe80::1%eth0"
      )
    case EMFILE: ("this process has no descriptor left", "raise its limit (ulimit -n)")
    case ENFILE: ("the system has no descriptor left", nil)
    default: ("\(who): \(errnoText(errno))", nil)
    }
  }
}

/// What the lookups of a name come to when none brought an address.
struct ResolutionReport {
  let host: String
  let failures: [ResolutionFailure]

  /// getaddrinfo's answers for "the name is known, but not in this family", which glibc declares for
  /// GNU programs only (netdb.h).
  private static let noData: Int32 = -5
  private static let noAddressOfFamily: Int32 = -9

  private static func isUnknown(_ failure: ResolutionFailure) -> Bool {
    [EAI_NONAME, noData, noAddressOfFamily].contains(failure.code)
  }

  var failure: AttemptFailure {
    // An answer that may be another one tomorrow says more than that the other family has none.
    guard let telling = failures.first(where: { !Self.isUnknown($0) }) else {
      return failed(
        "there is no host named \(host)", .fatal,
        "check the spelling, /etc/hosts and the name servers")
    }
    switch telling.code {
    case EAI_AGAIN, EAI_FAIL:
      return failed(
        "the name \(host) cannot be looked up for the moment: no name server answers", .notReady,
        "see /etc/resolv.conf, and whether its servers can be reached")
    case EAI_MEMORY: return failed("there is no memory to look \(host) up", .transient, nil)
    case EAI_SYSTEM:
      let outlook = TCPConnectFailure.outlook(telling.errno)
      return failed(
        "the name \(host) cannot be looked up: \(errnoText(telling.errno))", outlook, nil,
        errno: telling.errno)
    default:
      let text = gai_strerror(telling.code).map { String(cString: $0) } ?? "\(telling.code)"
      return failed("the name \(host) cannot be looked up: \(text)", .fatal, nil)
    }
  }

  private func failed(
    _ message: String, _ outlook: AttemptFailure.Outlook, _ hint: String?, errno: Int32 = 0
  ) -> AttemptFailure {
    AttemptFailure(phase: .resolve, errno: errno, message: message, outlook: outlook, hint: hint)
  }
}
