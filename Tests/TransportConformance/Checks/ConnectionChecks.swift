internal import NIOCore
internal import NIOPosix
internal import Synchronization
internal import TransportCore

/// What a connection says of itself, and many of them at once.
extension ConformanceCheck {
  static let connections: [ConformanceCheck] = [
    ConformanceCheck(
      "connection", "A connection is the channel that was configured, on its loop, active, named"
    ) { run in
      try await run.withServer { server in
        let address = try await server.address()
        let (registry, options) = (run.subject.registry, run.subject.connectOptions)
        try await run.within("connecting to \(address)") {
          let configured = Mutex<[ObjectIdentifier]>([])
          let connection = try await registry.connect(to: address, options: options) { channel in
            guard channel.eventLoop.inEventLoop else {
              throw Broken("configure does not run on the channel's event loop")
            }
            configured.withLock { $0.append(ObjectIdentifier(channel)) }
            try Wire.configure(channel, halfClose: false)
          }
          let wire = try Wire(connection)
          let channels = configured.withLock { $0 }
          try run.expect(channels.count == 1, "configure ran \(channels.count) times for one try")
          try run.expect(
            channels.last == ObjectIdentifier(connection.channel),
            "the connection's channel is not the one that was configured")
          try run.expect(connection.channel.isActive, "the connection's channel is not active")
          try run.expect(
            connection.address == address,
            "the connection to \(address) says that it is to \(connection.address)")
          try await wire.close()
        }
      }
    },
    ConformanceCheck("event loop", "A connection lives on the event loops that were asked for") {
      run in
      let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
      var options = run.subject.connectOptions
      options.group = group
      let final = options
      do {
        try await run.withServer { server in
          try await run.withWire(to: try await server.address(), options: final) { wire in
            try run.expect(
              wire.channel.eventLoop === group.any(), "the channel is on another event loop")
            try await wire.exchange(Request(.exchange, size: 1000))
          }
        }
      } catch {
        try await group.shutdownGracefully()
        throw error
      }
      try await group.shutdownGracefully()
    },
    ConformanceCheck("timings", "A connection tells how long each phase took") { run in
      try await run.withServer { server in
        let address = try await server.address()
        let clock = ContinuousClock()
        let began = clock.now
        try await run.withWire(to: address) { wire in
          let total = clock.now - began
          let timings = wire.connection.timings
          let phases = timings.map(\.phase)
          try run.expect(
            run.subject.phases.isSubset(of: phases),
            "the phases are \(phases), without some of \(run.subject.phases)")
          try run.expect(Set(phases).count == phases.count, "a phase is there twice: \(phases)")
          try run.expect(!phases.contains(.firstByte), "the first byte comes later: \(phases)")
          try run.expect(
            timings.allSatisfy { $0.duration >= .zero }, "a phase took less than no time")
          let sum = timings.reduce(Duration.zero) { $0 + $1.duration }
          try run.expect(sum <= total, "the phases took \(sum), but all of it \(total)")
        }
      }
    },
    ConformanceCheck("addresses", "The address is read again as it is printed") { run in
      let registry = run.subject.registry
      try await run.withServer { server in
        var addresses = [try await server.address()]
        if let own = server.own { addresses.append(own.listener.boundAddress) }
        for address in addresses {
          let read = try registry.parse(address.text)
          try run.expect(read == address, "\(address.text) is read as \(read.text)")
        }
      }
    },
    ConformanceCheck("100 at once", "100 connections at once each carry their own bytes") { run in
      try await run.withServer { server in
        try await withThrowingTaskGroup(of: Void.self) { group in
          for index in 0..<100 {
            group.addTask {
              try await server.withWire { wire in
                try await wire.exchange(Request(.both, size: 50_000 + index), chunk: 4_001)
                try await wire.exchange(Request(.exchange, size: 10_000 + index))
              }
            }
          }
          try await group.waitForAll()
        }
      }
    },
  ]
}
