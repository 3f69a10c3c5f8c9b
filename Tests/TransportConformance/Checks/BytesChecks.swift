internal import NIOCore
internal import TransportCore

/// Bytes arrive, all of them and as they were sent.
extension ConformanceCheck {
  static let bytes: [ConformanceCheck] = [
    ConformanceCheck(
      "bytes, one write",
      "Whatever is written in one piece arrives, of any size, in both directions"
    ) { run in
      try await run.exchange(.exchange, sizes: sizes, chunk: .max)
    },
    ConformanceCheck(
      "bytes, small writes", "Whatever is written in many small pieces arrives, in both directions"
    ) { run in
      try await run.exchange(.exchange, sizes: [1, 100, 65_537, 1 << 20], chunk: 997)
    },
    ConformanceCheck(
      "bytes, both directions at once",
      "Reading and writing at the same time lose and mix up nothing"
    ) { run in
      try await run.exchange(.both, sizes: [1, 4096, 65_537, 1 << 20, 16 << 20], chunk: 100_000)
    },
    ConformanceCheck(
      "server speaks first", "No byte of a server that speaks first is lost, on 200 connections"
    ) { run in
      try await run.withServer(greets: true) { server in
        for round in 0..<200 {
          try await server.withWire { wire in
            let greeting = try await wire.receive(exactly: ConformanceServer.greeting.utf8.count)
            try run.expect(
              String(buffer: greeting) == ConformanceServer.greeting,
              "the greeting of connection \(round) is \(String(buffer: greeting))")
            // What comes behind the greeting is in order, too.
            if round % 10 == 0 { try await wire.exchange(Request(.exchange, size: 1000)) }
          }
        }
      }
    },
    ConformanceCheck("silence", "A connection on which nobody says a word opens, and ends") { run in
      try await run.withServer { server in
        try await server.withWire { _ in }
        if let own = server.own {
          try await run.eventually("the listener to have served the silent dialer") {
            own.listener.statistics.accepted == 1 && own.server.active == 0
          }
          try run.expect(!own.server.events.contains(.bytes), "bytes came that nobody sent")
        }
      }
    },
  ]

  /// Where buffers, pages, segments, records and windows end, and a byte before and after.
  private static let sizes: [Int] =
    [0, 1, 2, 3]
    + [4096, 16 << 10, 64 << 10, 128 << 10, 1 << 20, 16 << 20].flatMap { [$0 - 1, $0, $0 + 1] }
}

extension ConformanceRun {
  /// All sizes on one connection, and the smaller ones on connections of their own.
  fileprivate func exchange(
    _ operation: Request.Operation, sizes: [Int], chunk: Int
  ) async throws {
    let sizes = sizes.filter { $0 <= subject.mostExchanged + 1 }
    try await withServer { server in
      try await server.withWire { wire in
        for size in sizes { try await wire.exchange(Request(operation, size: size), chunk: chunk) }
      }
      for size in sizes where size <= 1 << 20 {
        try await server.withWire { try await $0.exchange(Request(operation, size: size)) }
      }
    }
  }
}

extension Wire {
  /// The dialer's part of ``Request/Operation/exchange`` and ``Request/Operation/both``.
  func exchange(_ request: Request, chunk: Int = 64 << 10) async throws {
    do {
      try await send(request.encoded)
      if request.operation == .both {
        async let sent: Void = send(request.dialersBytes, request.size, chunk: chunk)
        try await receive(request.listenersBytes, request.size)
        try await sent
        try await Verdict.number(from: self)
      } else {
        try await send(request.dialersBytes, request.size, chunk: chunk)
        try await Verdict.number(from: self)
        try await receive(request.listenersBytes, request.size)
      }
    } catch {
      throw Broken("\(request.size) bytes: \(error)")
    }
  }
}
