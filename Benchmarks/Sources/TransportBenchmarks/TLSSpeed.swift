import NIOCore
import NIOPosix

/// TLS of ours beside NIOSSL, in the same process and shape: one event loop for the server and one for
/// the client, TCP over loopback, TLS 1.3, ECDSA certificates on P-256. Plain TCP says what the rest
/// of it costs.
enum TLSSpeed {
  private static let rounds = 7

  static func run() async throws {
    for size in [16 << 10, 64 << 10] { try await bulk(size) }
    try await handshakes()
  }

  /// One of the candidates alone, for so long that a profiler sees enough of it: `tls-alone
  /// ours|mutual|resumed|niossl|niossl-mutual BYTES_PER_WRITE`, where 0 stands for handshakes.
  static func alone(_ candidate: String, _ size: Int) async throws {
    let total = size == 0 ? 1 : 512 << 20
    let ends = try await TLSEnds(answeringAfter: total)
    let dial =
      switch candidate {
      case "ours": try await ends.ours()
      case "mutual": try await ends.ours(mutual: true)
      case "resumed": try await ends.ours(resumes: true)
      case "niossl": try await ends.peer()
      case "niossl-mutual": try await ends.peer(mutual: true)
      default: throw Problem("there is no candidate named \(candidate)")
      }
    for _ in 0..<8 {
      let rate =
        size == 0 ? try await handshakeRate(dial) : try await bulkRate(size, total, dial)
      print("\(candidate): \(fixed(rate, 0)) \(size == 0 ? "handshakes" : "MiB") a second")
    }
    try await ends.close()
  }

  // MARK: Bytes

  private static func bulk(_ size: Int) async throws {
    let total = 512 << 20
    let ends = try await TLSEnds(answeringAfter: total)
    let (ours, peer, plain) = (
      try await ends.ours(), try await ends.peer(), try await ends.plain()
    )
    let comparison = try await Comparison.run(rounds: rounds) {
      try await bulkRate(size, total, ours)
    } theirs: {
      try await bulkRate(size, total, peer)
    }
    print(
      comparison.line(
        "TLS, writes of \(size >> 10) KiB", unit: "MiB/s", peer: "NIOSSL", wanted: 1.0))
    print("  (plain TCP \(fixed(try await bulkRate(size, total, plain), 0)) MiB/s)")
    try await ends.close()
  }

  /// MiB a second through a connection that stands.
  private static func bulkRate(_ size: Int, _ total: Int, _ dial: TLSEnds.Dial) async throws
    -> Double
  {
    let connection = try await dial(size, total)
    let began = ContinuousClock.now
    try await connection.exchange()
    let took = ContinuousClock.now - began
    try await connection.channel.close()
    return Double(total >> 20) / took.inSeconds
  }

  // MARK: Handshakes

  private static func handshakes() async throws {
    let ends = try await TLSEnds(answeringAfter: 1)
    for mutual in [false, true] {
      let what = mutual ? " with client certificates" : ""
      let ours = try await ends.ours(mutual: mutual)
      let peer = try await ends.peer(mutual: mutual)
      let resuming = try await ends.ours(mutual: mutual, resumes: true)
      let full = try await Comparison.run(rounds: rounds) {
        try await handshakeRate(ours)
      } theirs: {
        try await handshakeRate(peer)
      }
      print(
        full.line(
          "TLS, full handshakes, connections\(what)", unit: "a second", peer: "NIOSSL", wanted: 1.0)
      )
      let whole = try await Comparison.run(rounds: rounds) {
        try await handshakeRate(resuming)
      } theirs: {
        try await handshakeRate(ours)
      }
      print(
        whole.line(
          "TLS, resumed connections\(what)", unit: "a second", peer: "full ones", wanted: nil))
      let alone = try await Comparison.run(rounds: rounds) {
        try await handshakeRate(resuming, alone: true)
      } theirs: {
        try await handshakeRate(ours, alone: true)
      }
      print(
        alone.line(
          "TLS, resumed handshakes\(what)", unit: "a second", peer: "full ones", wanted: 2))
    }
    try await ends.close()
  }

  /// Connections a second, one after the other: connect, handshake, a byte there and back, close. The
  /// byte is what brings a client the session ticket, and what shows that both ends are through.
  ///
  /// - Parameter alone: whether only the time of the handshakes themselves counts.
  private static func handshakeRate(
    _ dial: TLSEnds.Dial, alone: Bool = false
  ) async throws -> Double {
    let count = 400
    let began = ContinuousClock.now
    var shaking = Duration.zero
    for _ in 0..<count {
      let connection = try await dial(1, 1)
      try await connection.exchange()
      try await connection.channel.close()
      shaking += connection.handshake ?? .zero
    }
    return Double(count) / (alone ? shaking : ContinuousClock.now - began).inSeconds
  }
}
