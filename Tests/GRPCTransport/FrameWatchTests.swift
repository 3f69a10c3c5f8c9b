#if GRPC
  import RPCCore
  import Testing

  @testable import GRPCTransport

  @Suite("What the first bytes of a gRPC server say")
  struct FrameWatchTests {
    private static let settings: [UInt8] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100]
    private static let goAway: [UInt8] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]

    struct Row: Sendable {
      var bytes: [UInt8]
      var events: [FrameWatch.Event]
    }

    static let rows: [Row] = [
      Row(bytes: settings, events: [.ready]),
      Row(bytes: [0, 0, 0, 4, 0, 0, 0, 0, 0], events: [.ready]),
      Row(bytes: settings + goAway, events: [.ready, .leaving]),
      // The bytes of a frame are not taken for frames.
      Row(bytes: settings + [0, 0, 17, 0, 0, 0, 0, 0, 1] + goAway, events: [.ready]),
      Row(bytes: [0, 0, 0, 4, 0, 0, 0, 1, 2, 0], events: [.stranger(.ttrpc)]),
      Row(bytes: Array("HTTP/1.1 400".utf8), events: [.stranger(.http1)]),
      Row(bytes: Array("HTTP".utf8), events: []),
      Row(bytes: [0x15, 3, 3, 0, 2, 2, 40], events: [.stranger(.tls)]),
      Row(bytes: [0x16, 3], events: [.stranger(.tls)]),
      // SETTINGS may neither be an acknowledgement nor have a part of an entry.
      Row(bytes: [0, 0, 0, 4, 1, 0, 0, 0, 0], events: [.stranger(.unknown)]),
      Row(bytes: [0, 0, 5, 4, 0, 0, 0, 0, 0], events: [.stranger(.unknown)]),
      Row(bytes: Array("SSH-2.0-x\r\n".utf8), events: [.stranger(.unknown)]),
      Row(bytes: [0, 0], events: []),
    ]

    @Test("they are the same however the bytes are cut", arguments: rows)
    func events(_ row: Row) {
      for size in 1...max(1, row.bytes.count) {
        var watch = FrameWatch()
        var events: [FrameWatch.Event] = []
        var rest = row.bytes[...]
        while !rest.isEmpty {
          watch.read(rest.prefix(size)) { events.append($0) }
          rest = rest.dropFirst(size)
        }
        #expect(events == row.events, "in pieces of \(size)")
      }
    }

    @Test(
      "timeouts are written in the finest unit that holds them, and read in any",
      arguments: [
        (Duration.zero, "0n"), (.nanoseconds(5), "5n"), (.milliseconds(250), "250000u"),
        (.seconds(30), "30000000u"), (.seconds(100), "100000m"), (.seconds(99_999), "99999000m"),
        (.seconds(1_000_000), "1000000S"), (.seconds(400_000_000), "6666667M"),
      ])
    func timeouts(_ timeout: Duration, _ text: String) {
      #expect(WireTimeout.encode(timeout) == text)
      #expect((WireTimeout.decode(text) ?? .zero) >= timeout)
    }

    @Test(
      "a reset stream's number becomes gRPC's code for it",
      arguments: [
        ("Stream unexpectedly closed: received RST_STREAM frame (0x7: refused stream).", 14),
        ("Stream unexpectedly closed: received RST_STREAM frame (0x8: cancel).", 1),
        ("Stream unexpectedly closed: received RST_STREAM frame (0xb: enhance your calm).", 8),
        ("Stream unexpectedly closed: received RST_STREAM frame (0x2: internal error).", 13),
        ("Stream unexpectedly closed.", nil), ("the peer's own words", nil),
      ] as [(String, Int32?)])
    func resets(_ text: String, _ code: Int32?) {
      #expect(RPCCode(resetIn: text)?.rawValue == code)
    }

    @Test(
      "what is no timeout is none", arguments: ["", "S", "1", "1s", "-1S", "123456789n", "1 S"])
    func noTimeouts(_ text: String) { #expect(WireTimeout.decode(text) == nil) }
  }
#endif
