import Foundation
import NIOCore
import TransportCore

/// What a probe found: for people and for programs.
struct ProbeReport: Encodable, Sendable {
  struct Phase: Encodable, Sendable {
    var phase: String
    var milliseconds: Double
  }

  struct Failure: Encodable, Sendable {
    var code: String
    /// The phase that the last try failed in.
    var phase: String?
    var errno: Int32?
    var message: String
    var hint: String?
    var attempts: [String]
  }

  var address: String
  var reachable: Bool
  /// With all tries and pauses.
  var milliseconds: Double
  var phases: [Phase] = []
  /// What the peer speaks, when it was asked.
  var `protocol`: String?
  var peer: ProbePeer?
  var tls: ProbeTLS?
  var carriesHalfClose: Bool?
  var warnings: [String] = []
  var failure: Failure?

  static func probe(
    _ address: TransportAddress, through connector: any Connector, options: ConnectOptions
  ) async -> (ProbeReport, TransportError?) {
    let clock = ContinuousClock()
    let began = clock.now
    do throws(TransportError) {
      let connection = try await connector.connect(to: address, options: options) { _ in }
      let report = ProbeReport(connection, took: clock.now - began)
      do {
        try await connection.channel.close().get()
      } catch {
        // The peer was faster.
      }
      return (report, nil)
    } catch {
      return (ProbeReport(address, error.advised, took: clock.now - began), error)
    }
  }

  /// The same, until the peer has answered as a server of the protocol does.
  static func ping(
    _ address: TransportAddress, _ probe: ReadinessProbe,
    _ rpc: TransportAddress.RPCProtocol, through connector: any Connector, options: ConnectOptions
  ) async -> (ProbeReport, TransportError?) {
    let clock = ContinuousClock()
    let began = clock.now
    do throws(TransportError) {
      let readiness = try await connector.waitUntilReady(
        at: address, probe: probe, options: options)
      var report = ProbeReport(
        address, readiness.peer, readiness.timings, took: clock.now - began)
      report.protocol = rpc.rawValue
      return (report, nil)
    } catch {
      return (ProbeReport(address, error.advised, took: clock.now - began), error)
    }
  }

  private init(_ connection: Connection, took duration: Duration) {
    self.init(connection.address, connection.peer, connection.timings, took: duration)
    carriesHalfClose = connection.carriesHalfClose
  }

  private init(
    _ address: TransportAddress, _ peer: PeerIdentity, _ timings: [PhaseTiming],
    took duration: Duration
  ) {
    self.address = "\(address)"
    reachable = true
    milliseconds = duration.milliseconds
    phases = timings.map {
      Phase(phase: $0.phase.rawValue, milliseconds: $0.duration.milliseconds)
    }
    self.peer = ProbePeer(peer)
    tls = peer.tls.map(ProbeTLS.init)
    warnings = tls?.warnings ?? []
  }

  private init(_ address: TransportAddress, _ error: TransportError, took duration: Duration) {
    self.address = "\(address)"
    reachable = false
    milliseconds = duration.milliseconds
    let last = error.attempts.last?.failure
    failure = Failure(
      code: "\(error.code)", phase: last?.phase.rawValue,
      errno: last.flatMap { $0.errno == 0 ? nil : $0.errno }, message: error.message,
      hint: error.hint, attempts: error.attempts.map { "\($0)" })
  }

  // MARK: Printing

  func print() {
    var rows = [["address", address]]
    rows += phases.map { [$0.phase, Self.time($0.milliseconds)] }
    rows.append(["in all", Self.time(milliseconds)])
    if let `protocol` { rows.append(["protocol", `protocol`]) }
    if let peer { rows.append(["peer", peer.description]) }
    if let tls { rows += tls.rows }
    if carriesHalfClose == false { rows.append(["half-close", "not carried"]) }
    rows += warnings.map { ["warning", $0] }
    let width = rows.map { $0[0].count }.max() ?? 0
    for row in rows {
      Swift.print(row[0] + String(repeating: " ", count: width - row[0].count + 2) + row[1])
    }
  }

  /// Whether a watcher wants to know. How long it took differs always.
  func differs(from last: ProbeReport?) -> Bool {
    guard let last else { return true }
    return reachable != last.reachable || peer != last.peer
      || Self.certificates(tls) != Self.certificates(last.tls)
      || warnings != last.warnings || failure?.phase != last.failure?.phase
      || failure?.errno != last.failure?.errno
  }

  /// Without the days that they are still good for.
  private static func certificates(_ tls: ProbeTLS?) -> [[String]] {
    tls?.chain.map { [$0.subject, $0.issuer, $0.notAfter] } ?? []
  }

  func printChange(json: Bool) throws {
    let now = Date().formatted(.iso8601)
    if json {
      struct Line: Encodable {
        var time: String
        var probe: ProbeReport
      }
      try Output.jsonLine(Line(time: now, probe: self))
      return
    }
    if let failure {
      let phase = failure.phase.map { "\($0): " } ?? ""
      Output.line("\(now) unreachable: \(phase)\(failure.message)")
    } else {
      let certificate = tls?.chain.first.map { "; certificate until \($0.notAfter)" } ?? ""
      let who = peer.map { ", \($0.description)" } ?? ""
      Output.line("\(now) reachable in \(Self.time(milliseconds))\(who)\(certificate)")
      for warning in warnings { Output.line("\(now) warning: \(warning)") }
    }
  }

  private static func time(_ milliseconds: Double) -> String {
    milliseconds < 1
      ? "\(Int((milliseconds * 1000).rounded())) µs"
      : milliseconds < 1000
        ? "\((milliseconds * 10).rounded() / 10) ms"
        : "\((milliseconds / 100).rounded() / 10) s"
  }
}

extension Duration {
  /// To the microsecond.
  var milliseconds: Double {
    let (seconds, attoseconds) = components
    let microseconds = Double(seconds) * 1e6 + (Double(attoseconds) / 1e12).rounded()
    return microseconds / 1000
  }
}
