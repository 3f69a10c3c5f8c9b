internal import NIOCore
internal import TransportCore

/// How a connection ends: in one direction, in both, in the middle of a write.
extension ConformanceCheck {
  static let ends: [ConformanceCheck] = [
    ConformanceCheck(
      "half-close, dialer's",
      "When the dialer ends its output, the listener sees the end behind the last byte, and answers",
      where: { $0.halfClose.contains(.fromDialer) }
    ) { run in
      try await run.withServer { server in
        for count in [0, 1, 65_537, 4 << 20] {
          try await server.withWire(halfClose: true) { wire in
            try run.expect(wire.connection.carriesHalfClose, "carriesHalfClose is false")
            let request = Request(.readToEnd, size: 4 << 20)
            try await wire.send(request.encoded)
            try await wire.send(request.dialersBytes, count)
            try await wire.closeOutput()
            let got = try await Verdict.number(from: wire)
            try run.expect(got == count, "the listener read \(got) of \(count) bytes")
            try await wire.receive(request.listenersBytes, request.size)
            try await wire.receiveEnd()
          }
        }
      }
    },
    ConformanceCheck(
      "half-close, listener's",
      "When the listener ends its output, the dialer sees the end behind the last byte, and goes on",
      where: { $0.halfClose.contains(.fromListener) }
    ) { run in
      try await run.withServer { server in
        for count in [0, 1, 65_537, 4 << 20] {
          let request = Request(.endFirst, size: count)
          try await server.withWire(halfClose: true) { wire in
            try await wire.send(request.encoded)
            try await wire.receive(request.listenersBytes, count)
            try await wire.receiveEnd()
            try await wire.send(request.dialersBytes, 4 << 20)
          }
          try await server.withWire { wire in
            try await wire.send(Request(.report, seed: request.seed).encoded)
            let got = try await Verdict.number(from: wire)
            try run.expect(got == 4 << 20, "the listener read \(got) of \(4 << 20) bytes")
          }
        }
      }
    },
    ConformanceCheck(
      "close, listener's", "A connection that the listener closes ends behind the last byte"
    ) { run in
      try await run.withServer { server in
        for count in [0, 1, 65_537, 4 << 20] {
          try await server.withWire { wire in
            let request = Request(.close, size: count)
            try await wire.send(request.encoded)
            try await wire.receive(request.listenersBytes, count)
            try await wire.receiveEnd()
            try await wire.channel.closeFuture.get()
          }
        }
      }
    },
    ConformanceCheck(
      "close, dialer's", "A connection that the dialer closes ends behind the last byte",
      where: \.hasListener
    ) { run in
      try await run.withServer { server in
        for count in [0, 1, 65_537, 4 << 20] {
          let request = Request(.readToEnd)
          try await server.withWire { wire in
            try await wire.send(request.encoded)
            try await wire.send(request.dialersBytes, count)
            try await wire.close()
          }
          try await run.eventually("the listener's side to have ended") {
            server.own?.server.verdict(of: request.seed) != nil && server.own?.server.active == 0
          }
          let read = server.own?.server.verdict(of: request.seed)
          try run.expect(
            read == Verdict(count), "of \(count) bytes the listener got \(read as Any)")
        }
      }
    },
    ConformanceCheck(
      "close during write, listener's",
      "Writing to a listener that closes in the middle fails; it neither hangs nor succeeds for ever"
    ) { run in
      try await run.withServer { server in
        for round in 0..<20 {
          try await server.withWire { wire in
            let request = Request(.abandon, size: round * 10_000)
            try await wire.send(request.encoded)
            do {
              try await wire.send(request.dialersBytes, 128 << 20, chunk: 256 << 10)
            } catch {
              return
            }
            throw Broken("128 MiB were written to a listener that had closed")
          }
        }
      }
    },
    ConformanceCheck(
      "close during write, dialer's",
      "A listener that writes to a dialer that closes in the middle finds out",
      where: \.hasListener
    ) { run in
      try await run.withServer { server in
        for round in 0..<20 {
          try await server.withWire { wire in
            let request = Request(.flood, size: 1 << 30)
            try await wire.send(request.encoded)
            try await wire.receive(request.listenersBytes, 1 + round * 10_000)
          }
        }
        try await run.eventually("the listener's writers to have ended") {
          server.own?.server.active == 0
        }
      }
    },
    ConformanceCheck(
      "close over unsent bytes", "Closing settles the writes that are still waiting"
    ) { run in
      try await run.withServer { server in
        for _ in 0..<5 {
          try await server.withWire { wire in
            let request = Request(.readSlowly, size: 1 << 30)
            try await wire.send(request.encoded)
            let write = wire.channel.eventLoop.makePromise(of: Void.self)
            wire.channel.writeAndFlush(
              request.dialersBytes.bytes(32 << 20, from: 0), promise: write)
            let first = try await wire.receive(exactly: 8)
            try run.expect(first.readableBytes == 8, "the listener reads nothing")
            wire.channel.close(promise: nil)
            // Whether it failed or not is not asked, only that it is known.
            try? await write.futureResult.get()
          }
        }
      }
    },
  ]
}
