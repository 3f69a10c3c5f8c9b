internal import NIOCore
internal import TransportCore

/// From listening to the end of it.
extension ConformanceCheck {
  static let listeners: [ConformanceCheck] = [
    ConformanceCheck(
      "statistics", "A listener counts what it accepted", where: \.hasListener
    ) { run in
      let own = try await run.listen()
      try await own.whileRunning {
        for _ in 0..<5 {
          try await run.withWire(to: own.dialled) {
            try await $0.exchange(Request(.exchange, size: 9))
          }
        }
        let statistics = own.listener.statistics
        try run.expect(
          statistics.accepted == 5 && statistics.refused == 0 && statistics.failed == 0,
          "after 5 connections the listener counts \(statistics)")
      }
    },
    ConformanceCheck(
      "listens before it runs", "A dialer may come before the listener runs, and is served then",
      where: \.hasListener
    ) { run in
      let own = try await run.listen()
      let dialer = Task {
        try await run.withWire(to: own.dialled) {
          try await $0.exchange(Request(.exchange, size: 1000))
        }
      }
      try await Task.sleep(for: .milliseconds(100))
      try await own.whileRunning { try await dialer.value }
    },
    ConformanceCheck(
      "taken", "An address at which somebody listens cannot be listened at", where: \.hasListener
    ) { run in
      try await run.withServer { server in
        guard let own = server.own else { return }
        let (registry, options) = (run.subject.registry, run.subject.listenOptions)
        try await run.within("listening at a taken address") {
          do throws(TransportError) {
            try await registry.listen(at: own.listener.boundAddress, options: options).close()
          } catch {
            return try run.expect(error.code == .listenFailed, "the error's code is \(error.code)")
          }
          throw Broken("two listen at \(own.listener.boundAddress)")
        }
        try await server.withWire { try await $0.exchange(Request(.exchange, size: 1000)) }
      }
    },
    ConformanceCheck(
      "listener closes", "A closed listener takes nobody, lets its connections finish, and returns",
      where: \.hasListener
    ) { run in
      let own = try await run.listen()
      let running = own.start()
      defer { running.cancel() }
      try await run.withWire(to: own.dialled) { wire in
        try await wire.exchange(Request(.exchange, size: 1000))
        own.listener.close()
        own.listener.close()
        try await run.expectGone(own.dialled)
        try await wire.exchange(Request(.exchange, size: 100_000))
      }
      try await run.within("the closed listener to return") { try await running.value }
    },
    ConformanceCheck(
      "listener cancelled", "A cancelled listener ends its connections, and runs no second time",
      where: \.hasListener
    ) { run in
      let own = try await run.listen()
      let running = own.start()
      defer { running.cancel() }
      try await run.withWire(to: own.dialled) { wire in
        try await wire.exchange(Request(.exchange, size: 1000))
        running.cancel()
        do {
          try await wire.receiveEnd()
        } catch is Broken {
          throw Broken("bytes came from a listener that was cancelled")
        } catch {
          // A reset is an end, too.
        }
      }
      try await run.within("the cancelled listener to return") { try await running.value }
      try await run.expectRunsNoMore(own)
    },
    ConformanceCheck(
      "closed before it runs", "A listener that was closed does not run, and nobody gets through",
      where: \.hasListener
    ) { run in
      let own = try await run.listen()
      own.listener.close()
      try await run.expectRunsNoMore(own)
      try await run.expectGone(own.dialled)
    },
    ConformanceCheck(
      "inherited", "A listening socket that was inherited is listened on",
      where: { $0.inherited != nil }
    ) { run in
      guard let inherited = run.subject.inherited else { return }
      let listener = try await run.within("taking the socket over") { try await inherited() }
      let own = OwnListener(run: run, listener: listener)
      try await own.whileRunning {
        try await run.withWire(to: own.dialled) {
          try await $0.exchange(Request(.exchange, size: 1000))
        }
      }
    },
  ]
}

extension ConformanceRun {
  fileprivate func expectRunsNoMore(_ own: OwnListener) async throws {
    let run = self
    try await within("a second run to fail") {
      do throws(TransportError) {
        try await own.listener.run(policy: nil) { _ in
        } onConnection: { _ in
        }
      } catch {
        return try run.expect(error.code == .listenFailed, "the error's code is \(error.code)")
      }
      throw Broken("the listener ran again")
    }
  }
}
