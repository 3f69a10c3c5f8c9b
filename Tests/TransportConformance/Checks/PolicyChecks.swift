internal import NIOCore
internal import Synchronization
internal import TransportCore

/// Who may talk to whom is decided before the protocol begins.
extension ConformanceCheck {
  static let policies: [ConformanceCheck] = [
    ConformanceCheck(
      "refused by the dialer",
      "A peer that the dialer's policy refuses is an error at once, and no handler sees a thing"
    ) { run in
      try await run.withServer(greets: true) { server in
        let address = try await server.address()
        let seen = Seen()
        let error = try await run.connectError(address, seen: seen) {
          $0.policy = .nobody
          $0.mode = .waitUntilReady()
        }
        try run.expect(error.code == .refusedByPolicy, "the error's code is \(error.code)")
        try run.expectShape(error, address)
        try run.expect(
          "\(error)".contains(PeerPolicy.nobody.name),
          "the error does not name the policy: \(error)")
        try run.expect(seen.all.isEmpty, "the dialer's handlers saw \(seen.all)")
        if let own = server.own {
          try await run.eventually("the refused connection to have ended") {
            own.server.active == 0
          }
          try run.expect(!own.server.events.contains(.bytes), "the dialer's side sent bytes")
        }
      }
    },
    ConformanceCheck(
      "refused by the listener",
      "A peer that the listener's policy refuses is counted and closed, and no handler sees a thing",
      where: \.hasListener
    ) { run in
      let own = try await run.listen(greets: true)
      try await own.whileRunning(policy: .nobody) {
        let registry = run.subject.registry
        let (address, options) = (own.dialled, run.subject.connectOptions)
        let seen = Seen()
        try await run.within("the refused connection to end") {
          do {
            let connection = try await registry.connect(to: address, options: options) { channel in
              try Wire.configure(
                channel, halfClose: false, greeting: ByteBuffer(string: "hello"), seen: seen)
            }
            let wire = try Wire(connection)
            while try await wire.receive() != nil {}
            try await wire.close()
          } catch {
            // The dialer may find out at once or by a reset.
          }
        }
        try run.expect(!seen.all.contains(.bytes), "the dialer got bytes")
        try await run.eventually("the refusal to be counted") {
          own.listener.statistics.refused == 1
        }
        try run.expect(own.listener.statistics.accepted == 0, "the connection was accepted")
        try run.expect(
          own.server.events.isEmpty, "the listener's handlers saw \(own.server.events)")
      }
    },
    ConformanceCheck(
      "configure throws, dialer's", "A dialer that cannot set up its handlers gets an error"
    ) { run in
      try await run.withServer { server in
        let address = try await server.address()
        let (registry, options) = (run.subject.registry, run.subject.connectOptions)
        let error = try await run.within("a connect that is not configured") {
          () async throws -> TransportError in
          do throws(TransportError) {
            _ = try await registry.connect(to: address, options: options) { _ in
              throw Broken("no handlers today")
            }
          } catch {
            return error
          }
          throw Broken("there is a connection without handlers")
        }
        try run.expect(error.code == .connectFailed, "the error's code is \(error.code)")
        try run.expectShape(error, address)
        try await server.withWire { try await $0.exchange(Request(.exchange, size: 1000)) }
      }
    },
    ConformanceCheck(
      "configure throws, listener's",
      "A connection for which the listener cannot set up handlers is counted; the next one is served",
      where: \.hasListener
    ) { run in
      let own = try await run.listen()
      let mayFail = Mutex(true)
      let server = own.server
      let running = Task {
        try await own.listener.run(policy: run.subject.listenPolicy) { channel in
          let fails = mayFail.withLock { mayFail in
            defer { mayFail = false }
            return mayFail
          }
          if fails { throw Broken("no handlers today") }
          try server.configure(channel)
        } onConnection: {
          await server.serve($0)
        }
      }
      defer { running.cancel() }
      try await run.within("the connection without handlers to end") {
        do {
          let wire = try await run.dial(own.dialled)
          while try await wire.receive() != nil {}
          try await wire.close()
        } catch {
          // The dialer may find out at once or by a reset.
        }
      }
      try await run.eventually("the failure to be counted") {
        own.listener.statistics.failed == 1
      }
      try await run.withWire(to: own.dialled) { try await $0.exchange(Request(.exchange, size: 9)) }
      running.cancel()
      try await run.within("the cancelled listener to end") { try await running.value }
    },
    ConformanceCheck("identity", "Each side knows who the other one is") { run in
      try await run.withServer { server in
        try await server.withWire { wire in
          let peer = wire.connection.peer
          try run.expect(
            run.subject.identifiesListener(peer), "the listener was identified as \(peer)")
          try await wire.send(Request(.identify).encoded)
          try await Verdict.number(from: wire)
        }
      }
    },
  ]
}

extension PeerPolicy {
  static let nobody = PeerPolicy(name: "nobody, for a check") { _ in false }
}
