internal import NIOCore
internal import TransportCore

/// Descriptors are given back, whatever becomes of a connection.
extension ConformanceCheck {
  static let descriptors: [ConformanceCheck] = [
    ConformanceCheck(
      "1,000 connections", "1,000 connections, one after the other, leave no descriptor behind"
    ) { run in
      try await run.withServer { server in
        // Whatever is made once is made by then.
        for _ in 0..<3 { try await server.withWire { try await $0.exchange(small) } }
        try await run.leavingNothingOpen {
          for _ in 0..<1000 { try await server.withWire { try await $0.exchange(small) } }
        }
      }
    },
    ConformanceCheck(
      "100 failures", "100 connects that fail leave no descriptor behind", where: \.hasAbsent
    ) { run in
      let address = try await run.absentDialled()
      _ = try await run.connectError(address)
      try await run.leavingNothingOpen {
        for _ in 0..<100 { _ = try await run.connectError(address) }
      }
    },
    ConformanceCheck(
      "100 refusals", "100 connects that a policy refuses leave no descriptor behind"
    ) { run in
      try await run.withServer { server in
        try await server.withWire { try await $0.exchange(small) }
        try await run.leavingNothingOpen {
          for _ in 0..<100 {
            _ = try await run.connectError(try await server.address()) { $0.policy = .nobody }
          }
        }
      }
    },
    ConformanceCheck(
      "100 cancelled", "100 connects that are cancelled on their way leave no descriptor behind"
    ) { run in
      try await run.withServer { server in
        try await server.withWire { try await $0.exchange(small) }
        try await run.leavingNothingOpen { try await run.cancelSomewhere(100, server) }
      }
    },
    ConformanceCheck(
      "20 mute", "20 connects that are given up leave no descriptor behind",
      where: { $0.mute != nil }
    ) { run in
      try await run.withMute { address in
        try await run.leavingNothingOpen {
          for _ in 0..<20 {
            _ = try await run.connectError(address) { $0.tryLimit = .milliseconds(20) }
          }
        }
      }
    },
    ConformanceCheck(
      "100 listeners", "100 listeners, run, closed and forgotten, leave no descriptor behind",
      where: \.hasListener
    ) { run in
      try await run.withServer { try await $0.withWire { try await $0.exchange(small) } }
      try await run.leavingNothingOpen {
        for round in 0..<100 {
          let own = try await run.listen()
          switch round % 3 {
          case 0: own.listener.close()
          case 1: break
          default: try await own.whileRunning { try await run.withWire(to: own.dialled) { _ in } }
          }
        }
      }
    },
  ]

  private static var small: Request { Request(.exchange, size: 10) }
}
