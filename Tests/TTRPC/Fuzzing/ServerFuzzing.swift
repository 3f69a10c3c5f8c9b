import NIOCore
import RPCCore
import TransportCore

@testable import TTRPC

/// A whole server on a connection whose peer does what the bytes say: every request is answered
/// once, every handler ends, the limits are kept, and nothing is left behind.
enum ServerFuzzing {
  private static let configuration = TTRPCServer.Configuration(
    maximumInFlight: 4, maximumInFlightBytes: 4096, maximumStreams: 3,
    streams: TTRPCStreamBudget(
      messages: 4, bytes: 1024, connectionBytes: 4096, grace: .milliseconds(50)))
  /// What may be written to a peer that takes nothing: what was under way, and one answer.
  private static let mostWhileFull = 1 << 20
  /// What one frame may be beyond the budget.
  private static let largestFrame = 1 << 16

  private struct Sent {
    var requests = 0
    var others = 0
  }

  static func run(_ script: inout FuzzScript) throws {
    let service = FuzzService()
    let handler = ServerHandler(
      methods: service.server(configuration).methods, configuration: configuration,
      peer: script.below(8) == 0 ? nil : PeerIdentity())
    handler.watch.waitsForTurns = false
    let pipe = try FuzzPipe(handler)
    var nextID: UInt32 = 1
    var sent: [UInt32: Sent] = [:]
    var answers: [UInt32: Int] = [:]
    // Bytes that are not known to be frames make it unknown what is to be expected.
    var isExact = true
    var isClosed = false
    var drained = 0

    func id() -> UInt32 {
      let choice = script.below(8)
      switch choice {
      case 0, 1, 2, 3:
        nextID &+= 2
        return nextID &- 2
      case 4: return UInt32(script.byte())
      case 5: return script.word()
      default: return nextID &- 2 &* UInt32(choice - 5)
      }
    }

    func check() throws {
      for (header, _) in try pipe.takeFrames() {
        if header.type == .response || header.type == .data && header.flags & 1 != 0 {
          answers[header.streamID, default: 0] += 1
        }
        try FuzzFailure.unless(
          header.type == .response
            || header.type == .data
              && (header.flags == 0 || header.flags == 5 && header.length == 0),
          "the server sends what it must not: \(header)")
      }
      let counts = service.counts
      try FuzzFailure.unless(
        counts.mostUnary <= configuration.maximumInFlight
          && counts.mostStreams <= configuration.maximumStreams, "too many handlers run")
      try FuzzFailure.unless(
        handler.watch.account.held < configuration.streams.connectionBytes + largestFrame,
        "the streams hold \(handler.watch.account.held) bytes")
      try FuzzFailure.unless(
        pipe.writtenWhileFull <= mostWhileFull, "a peer that reads nothing is sent all")
    }

    var steps = 0
    while !script.isAtEnd, steps < 512 {
      steps += 1
      switch script.below(16) {
      case 0, 1, 2, 3, 4:
        let id = id()
        let (bytes, flags) = request(&script)
        sent[id, default: Sent()].requests += 1
        pipe.send(FuzzFrame.bytes(1, id, flags: flags, bytes))
      case 5, 6, 7:
        let id = id()
        let flags = script.byte()
        let data = script.bytes(script.below(64))
        sent[id, default: Sent()].others += 1
        pipe.send(FuzzFrame.bytes(3, id, flags: flags, data))
      case 8:
        isExact = false
        pipe.send(script.bytes(script.below(64)))
      case 9:
        // One that is drained; they cost time.
        guard drained < 1 else { continue }
        drained += 1
        let id = id()
        sent[id, default: Sent()].others += 1
        pipe.sendOversize(3 - script.byte() % 3, id)
      case 10: pipe.setWritable(script.below(2) == 0)
      case 11: pipe.run()
      case 12: pipe.advance(script.below(128))
      case 13: service.letOneGo()
      case 14: pipe.readSize = 1 + Int(script.byte())
      default:
        if script.below(4) == 0 {
          isClosed = true
          pipe.close()
        } else {
          handler.identify(PeerIdentity())
        }
      }
      try check()
    }

    // All is let go: what was asked is answered.
    handler.identify(PeerIdentity())
    service.open()
    for _ in 0..<4 {
      pipe.setWritable(true)
      pipe.advance(1_000)
    }
    try check()
    if isExact, !isClosed {
      var missing = 0
      for (id, frames) in sent {
        let count = answers[id] ?? 0
        try FuzzFailure.unless(
          count <= frames.requests + frames.others,
          "stream \(id) was answered \(count) times")
        guard frames.others == 0 else { continue }
        try FuzzFailure.unless(
          count == frames.requests || count == frames.requests - 1,
          "\(frames.requests) requests on stream \(id) were answered \(count) times")
        missing += frames.requests - count
      }
      // A stream may still wait for its client's messages.
      try FuzzFailure.unless(
        missing <= handler.pendingCalls, "\(missing) requests were never answered")
    }
    pipe.close()
    pipe.run()
    let counts = service.counts
    try FuzzFailure.unless(
      counts.began == counts.ended && counts.streamsBegan == counts.streamsEnded,
      "\(counts.began - counts.ended) calls and \(counts.streamsBegan - counts.streamsEnded) "
        + "streams go on behind the end")
    try FuzzFailure.unless(
      handler.pendingCalls == 0 && handler.runningStreams == 0, "calls are left behind")
    try FuzzFailure.unless(
      handler.watch.account.held == 0,
      "\(handler.watch.account.held) bytes are accounted for nobody")
  }

  /// A Request's data and flags: one of the methods, or none.
  private static func request(_ script: inout FuzzScript) -> ([UInt8], UInt8) {
    let method = script.below(9)
    let name = method < FuzzService.names.count ? FuzzService.names[method] : "?"
    var bytes =
      FuzzFrame.field(0x0a, Array("f".utf8)) + FuzzFrame.field(0x12, Array(name.utf8))
    let options = script.byte()
    if options & 1 != 0 {
      bytes += FuzzFrame.varintField(0x20, UInt64(script.byte()) * 1_000_000)
    }
    if options & 2 != 0 {
      // Expired.
      bytes += FuzzFrame.varintField(0x20, .max)
    }
    if options & 4 != 0 { bytes += FuzzFrame.field(0x2a, script.bytes(script.below(16))) }
    if options & 8 != 0 {
      bytes += FuzzFrame.field(0x1a, Array(repeating: 1, count: min(script.length(), 8192)))
    } else if options & 16 != 0 {
      bytes += FuzzFrame.field(0x1a, script.bytes(script.below(16)))
    }
    return (bytes, options & 32 != 0 ? script.byte() : method < 3 ? 0 : 6)
  }
}
