import NIOCore
import NIOPosix

/// TLS of ours beside NIOSSL, in the same process and shape: one event loop for the server and one for
/// the client, TCP over loopback, TLS 1.3, ECDSA certificates on P-256. Plain TCP says what the rest
/// of it costs: with what `Benchmarks/tls-floor` prints, the least that OpenSSL can come to.
enum TLSSpeed {
  private static let rounds = 7

  static func run() async throws {
    for size in [16 << 10, 64 << 10] { try await bulk(size) }
    try await handshakes()
  }

  /// One of the candidates alone, for so long that a profiler sees enough of it: `tls-alone
  /// ours|mutual|resumed|niossl|niossl-mutual|tcp|plain BYTES_PER_WRITE`, where 0 stands for handshakes.
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
      case "tcp": try await ends.oursPlain()
      case "plain": try await ends.plain()
      default: throw Problem("there is no candidate named \(candidate)")
      }
    for _ in 0..<8 {
      let times = ProcessorTimes()
      let rate =
        size == 0
        ? try await handshakeRate(dial, times) : try await bulkRate(size, total, dial, times)
      print(
        "\(candidate): \(fixed(rate, 0)) \(size == 0 ? "handshakes" : "MiB") a second, "
          + (size == 0 ? times.each : times.gibibyte))
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
    let (ourTimes, peerTimes, plainTimes) = (ProcessorTimes(), ProcessorTimes(), ProcessorTimes())
    let floor = ends.floor(.bytes(size: size))
    var plainRates: [Double] = []
    let comparison = try await Comparison.run(rounds: rounds) {
      floor.add()
      plainRates.append(try await bulkRate(size, total, plain, plainTimes))
      return try await bulkRate(size, total, ours, ourTimes)
    } theirs: {
      try await bulkRate(size, total, peer, peerTimes)
    }
    print(
      comparison.line(
        "TLS, writes of \(size >> 10) KiB", unit: "MiB/s", peer: "NIOSSL", wanted: 1.0))
    print("  plain SwiftNIO over TCP \(fixed(median(plainRates), 0)) MiB/s")
    print(floor.verdict(ours: ourTimes, peer: peerTimes, plain: plainTimes))
    try await ends.close()
  }

  /// MiB a second through a connection that stands.
  private static func bulkRate(
    _ size: Int, _ total: Int, _ dial: TLSEnds.Dial, _ times: ProcessorTimes
  ) async throws -> Double {
    let connection = try await dial(size, total)
    let began = ContinuousClock.now
    try await times.add(units: total) { try await connection.exchange() }
    let took = ContinuousClock.now - began
    try await connection.channel.close()
    return Double(total >> 20) / took.inSeconds
  }

  // MARK: Handshakes

  private static func handshakes() async throws {
    let ends = try await TLSEnds(answeringAfter: 1)
    for mutual in [false, true] { try await handshakes(mutual, ends) }
    let (ours, bare) = (try await ends.oursPlain(), try await ends.plain())
    let (ourTimes, bareTimes) = (ProcessorTimes(), ProcessorTimes())
    let plain = try await Comparison.run(rounds: rounds) {
      try await handshakeRate(ours, ourTimes)
    } theirs: {
      try await handshakeRate(bare, bareTimes)
    }
    print(
      plain.line(
        "the same without TLS, connections", unit: "a second", peer: "bare SwiftNIO", wanted: nil))
    print("  processor time: ours \(ourTimes.each), bare SwiftNIO \(bareTimes.each)")
    try await ends.close()
  }

  private static func handshakes(_ mutual: Bool, _ ends: TLSEnds) async throws {
    let what = mutual ? " with client certificates" : ""
    let ours = try await ends.ours(mutual: mutual)
    let peer = try await ends.peer(mutual: mutual)
    let plain = try await ends.plain()
    let resuming = try await ends.ours(mutual: mutual, resumes: true)
    let (ourTimes, peerTimes) = (ProcessorTimes(), ProcessorTimes())
    let (resumedTimes, plainTimes) = (ProcessorTimes(), ProcessorTimes())
    let floor = ends.floor(.handshake(mutual: mutual, resumes: false))
    let resumedFloor = ends.floor(.handshake(mutual: mutual, resumes: true))
    let full = try await Comparison.run(rounds: rounds) {
      floor.add()
      _ = try await handshakeRate(plain, plainTimes)
      return try await handshakeRate(ours, ourTimes)
    } theirs: {
      try await handshakeRate(peer, peerTimes)
    }
    print(
      full.line(
        "TLS, full handshakes, connections\(what)", unit: "a second", peer: "NIOSSL", wanted: 1.0)
    )
    print(floor.verdict(ours: ourTimes, peer: peerTimes, plain: plainTimes))
    let whole = try await Comparison.run(rounds: rounds) {
      resumedFloor.add()
      return try await handshakeRate(resuming, resumedTimes)
    } theirs: {
      try await handshakeRate(ours, ourTimes)
    }
    print(
      whole.line(
        "TLS, resumed connections\(what)", unit: "a second", peer: "full ones", wanted: nil))
    let best = floor.times.typical / resumedFloor.times.typical
    print(
      "  processor time: resumed \(resumedTimes.each), full \(ourTimes.each); OpenSSL alone "
        + "\(resumedFloor.times.each) and \(floor.times.each), which is a ratio of "
        + fixed(best, 2))
    let alone = try await Comparison.run(rounds: rounds) {
      try await handshakeRate(resuming, resumedTimes, alone: true)
    } theirs: {
      try await handshakeRate(ours, ourTimes, alone: true)
    }
    print(
      alone.line("TLS, resumed handshakes\(what)", unit: "a second", peer: "full ones", wanted: 2))
  }

  /// Connections a second, one after the other: connect, handshake, a byte there and back, close. The
  /// byte is what brings a client the session ticket, and what shows that both ends are through.
  ///
  /// - Parameter alone: whether only the time of the handshakes themselves counts.
  private static func handshakeRate(
    _ dial: TLSEnds.Dial, _ times: ProcessorTimes, alone: Bool = false
  ) async throws -> Double {
    let count = 400
    let began = ContinuousClock.now
    var shaking = Duration.zero
    try await times.add(units: count) {
      for _ in 0..<count {
        let connection = try await dial(1, 1)
        try await connection.exchange()
        try await connection.channel.close()
        shaking += connection.handshake ?? .zero
      }
    }
    return Double(count) / (alone ? shaking : ContinuousClock.now - began).inSeconds
  }
}
