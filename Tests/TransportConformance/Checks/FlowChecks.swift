/// A slow reader slows the writer down: what is on its way is bounded.
extension ConformanceCheck {
  static let flow: [ConformanceCheck] = [
    ConformanceCheck(
      "slow listener", "A dialer that writes faster than the listener reads is held back"
    ) { run in
      try await run.withServer { server in
        try await server.withWire { wire in
          let request = Request(.readSlowly, size: run.total)
          try await wire.send(request.encoded)
          try run.expectBounded(try await wire.flood(request.dialersBytes, request.size))
        }
      }
    },
    ConformanceCheck(
      "slow dialer", "A listener that writes faster than the dialer reads is held back"
    ) { run in
      try await run.withServer { server in
        try await server.withWire { wire in
          let request = Request(.flood, size: run.total)
          try await wire.send(request.encoded)
          try await wire.receiveSlowly(request.listenersBytes, request.size)
          try run.expectBounded(try await Verdict.number(from: wire))
        }
      }
    },
  ]
}

extension ConformanceRun {
  /// So much that it cannot be on its way at once.
  fileprivate var total: Int { 2 * subject.mostOnTheWay + subject.mostExchanged }

  fileprivate func expectBounded(_ most: Int) throws {
    try expect(
      most <= subject.mostOnTheWay,
      "\(most) bytes were written and not read; at most \(subject.mostOnTheWay) may be on the way")
  }
}
