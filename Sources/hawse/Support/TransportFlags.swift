import ArgumentParser
import Logging
import RPCCore
import TransportCore

/// Whom a command dials that dials by itself, without a sandbox's bundle, and how.
struct ReachFlags: ParsableArguments {
  @OptionGroup var tls: TLSFlags

  @Flag(
    help: "Try again until the peer is ready: while it is not there, refuses, or is mute.")
  var wait = false

  @Option(
    help: ArgumentHelp("The peer's user must be this one; may be repeated.", valueName: "uid"))
  var peerUID: [UInt32] = []

  @Option(help: ArgumentHelp("The peer must be in this VM; may be repeated.", valueName: "cid"))
  var peerCID: [UInt32] = []

  @Option(
    help: ArgumentHelp(
      "The peer's certificate must have this DNS name or URI; may be repeated.",
      valueName: "name"))
  var peerName: [String] = []

  @Flag(help: "Talk to any peer, whoever it is (default: as the transport has it).")
  var peerAnyone = false

  @Flag(help: "Cross a network without TLS.") var plaintext = false

  func validate() throws {
    if peerAnyone, !(peerUID.isEmpty && peerCID.isEmpty && peerName.isEmpty) {
      throw ValidationError("--peer-anyone contradicts the other --peer options.")
    }
  }

  /// - Parameter seconds: how long connecting may take in all.
  func options(within seconds: Double) -> ConnectOptions {
    let limit = Duration.seconds(seconds)
    return ConnectOptions(
      timeout: limit, tryLimit: wait ? min(limit, .seconds(5)) : limit,
      mode: wait ? .waitUntilReady() : .failFast,
      policy: PeerPolicy(
        uids: peerUID, cids: peerCID, names: peerName, anyone: peerAnyone),
      plaintext: plaintext ? .anywhere : .loopbackOnly)
  }

  static func check(_ seconds: Double?, _ option: String) throws {
    guard let seconds, !(seconds > 0 && seconds <= 86_400) else { return }
    throw ValidationError("\(option) is a number of seconds above 0, and at most 86400.")
  }
}

/// The same for commands whose time is that of connecting.
struct DialFlags: ParsableArguments {
  @OptionGroup var reach: ReachFlags

  @Option(
    help: ArgumentHelp("How long connecting may take in all.", valueName: "seconds"))
  var timeout = 10.0

  func validate() throws { try ReachFlags.check(timeout, "--timeout") }

  var tls: TLSFlags { reach.tls }
  var options: ConnectOptions { reach.options(within: timeout) }
}

/// The same for commands that make calls: connecting has a limit of its own beside theirs.
struct ClientFlags: ParsableArguments {
  @OptionGroup var reach: ReachFlags

  @Option(
    help: ArgumentHelp("How long connecting may take in all.", valueName: "seconds"))
  var connectTimeout = 10.0

  func validate() throws { try ReachFlags.check(connectTimeout, "--connect-timeout") }

  /// Connects. An address that does not say which protocol is spoken there is taken for ttrpc.
  func client(to address: String) async throws -> any RPCConnection {
    let registry = try reach.tls.registry()
    return try await Transports.dialers.dial(
      registry.parse(address), using: registry, options: reach.options(within: connectTimeout)
    ).connection
  }
}

/// Who may connect to a command that listens.
struct ListenFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp("Processes of this user may connect; may be repeated.", valueName: "uid"))
  var allowUID: [UInt32] = []

  @Option(help: ArgumentHelp("This VM may connect; may be repeated.", valueName: "cid"))
  var allowCID: [UInt32] = []

  @Option(
    help: ArgumentHelp(
      "Certificates with this DNS name or URI may connect; may be repeated.", valueName: "name"))
  var allowName: [String] = []

  @Flag(help: "Whoever can reach the address may connect (default: as the transport has it).")
  var allowAnyone = false

  func validate() throws {
    if allowAnyone, !(allowUID.isEmpty && allowCID.isEmpty && allowName.isEmpty) {
      throw ValidationError("--allow-anyone contradicts the other --allow options.")
    }
  }

  /// `nil`: the listener's own default.
  var policy: PeerPolicy? {
    PeerPolicy(uids: allowUID, cids: allowCID, names: allowName, anyone: allowAnyone)
  }
}

extension PeerPolicy {
  /// Each kind that is named must be met, by any of its values. `nil` when none is named.
  init?(uids: [UInt32], cids: [UInt32], names: [String], anyone: Bool) {
    var kinds: [PeerPolicy] = anyone ? [.anyone] : []
    if !uids.isEmpty { kinds.append(.users(Set(uids))) }
    if !cids.isEmpty { kinds.append(.cids(Set(cids))) }
    if !names.isEmpty {
      let uris = names.filter { $0.contains("://") }
      let dns = names.filter { !$0.contains("://") }
      kinds.append(
        .any(
          (dns.isEmpty ? [] : [.dnsNames(Set(dns))]) + (uris.isEmpty ? [] : [.uris(Set(uris))])))
    }
    guard !kinds.isEmpty else { return nil }
    self = .all(kinds)
  }
}

/// How much a command says on standard error.
struct LogFlags: ParsableArguments {
  @Flag(help: "Say on standard error what is done.") var debug = false

  func logger(_ quiet: Logger.Level = .warning) -> Logger {
    var logger = Logger(label: "hawse") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = debug ? .debug : quiet
    return logger
  }
}
