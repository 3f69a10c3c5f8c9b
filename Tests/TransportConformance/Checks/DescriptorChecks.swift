internal import NIOCore
internal import TransportCore

/// Descriptors are given back, whatever becomes of a connection. Each needs a process of its own: what
/// others in it open and keep looks like something left behind.
extension ConformanceCheck {
  static let descriptors: [ConformanceCheck] = [
    ConformanceCheck(
      "1,000 connections", "1,000 connections, one after the other, leave no descriptor behind",
      needsOwnProcess: true
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
      "100 failures", "100 connects that fail leave no descriptor behind",
      needsOwnProcess: true, where: \.hasAbsent
    ) { run in
      let address = try await run.absentDialled()
      _ = try await run.connectError(address)
      try await run.leavingNothingOpen {
        for _ in 0..<100 { _ = try await run.connectError(address) }
      }
    },
    ConformanceCheck(
      "100 refusals", "100 connects that a policy refuses leave no descriptor behind",
      needsOwnProcess: true
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
      "100 without handlers",
      "100 connects whose handlers cannot be set up leave no descriptor behind",
      needsOwnProcess: true
    ) { run in
      try await run.withServer { server in
        try await server.withWire { try await $0.exchange(small) }
        let (registry, options) = (run.subject.registry, run.subject.connectOptions)
        try await run.leavingNothingOpen {
          for _ in 0..<100 {
            let address = try await server.address()
            try await run.within("a connect that is not configured") {
              do throws(TransportError) {
                _ = try await registry.connect(to: address, options: options) { _ in
                  throw Broken("no handlers today")
                }
              } catch {
                return
              }
              throw Broken("there is a connection without handlers")
            }
          }
        }
      }
    },
    ConformanceCheck(
      "100 cancelled", "100 connects that are cancelled on their way leave no descriptor behind",
      needsOwnProcess: true
    ) { run in
      try await run.withServer { server in
        try await server.withWire { try await $0.exchange(small) }
        try await run.leavingNothingOpen { try await run.cancelSomewhere(100, server) }
      }
    },
    ConformanceCheck(
      "20 mute", "20 connects that are given up leave no descriptor behind",
      needsOwnProcess: true, where: { $0.mute != nil }
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
      needsOwnProcess: true, where: \.hasListener
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
    ConformanceCheck(
      "close-on-exec",
      "No descriptor of a connection or a listener is left to a program that starts",
      needsOwnProcess: true
    ) { run in
      let before = try openDescriptors()
      try await run.withServer { server in
        try await server.withWire { wire in
          try await wire.exchange(small)
          let left = try inheritableDescriptors().subtracting(before)
          try run.expect(left.isEmpty, "\(left.sorted().joined(separator: ", ")) would be left")
        }
      }
    },
  ]

  private static var small: Request { Request(.exchange, size: 10) }
}
