internal import NIOCore
internal import TransportCore

/// What becomes of a connect that cannot succeed, and what the error says.
extension ConformanceCheck {
  static let failures: [ConformanceCheck] = [
    ConformanceCheck(
      "nobody there", "Where nobody is, one try fails at once, as one that may succeed later",
      where: \.hasAbsent
    ) { run in
      let address = try await run.absentDialled()
      let error = try await run.connectError(address)
      try run.expect(error.code == .connectFailed, "the error's code is \(error.code)")
      try run.expectShape(error, address)
      try run.expect(error.tries == 1, "there were \(error.tries) tries instead of one")
      try run.expectNotReady(error)
    },
    ConformanceCheck(
      "listener gone", "Where a listener was until just now, connecting fails", where: \.hasListener
    ) { run in
      let own = try await run.listen()
      try await own.whileRunning {
        try await run.withWire(to: own.dialled) {
          try await $0.exchange(Request(.exchange, size: 9))
        }
      }
      try await run.expectGone(own.dialled)
    },
    ConformanceCheck(
      "waits until ready", "A dialer that waits connects when the listener appears",
      where: { $0.hasListener && $0.hasAbsent }
    ) { run in
      guard let address = try await run.subject.absentAddress() else { return }
      var options = run.subject.connectOptions
      options.mode = .waitUntilReady()
      let patient = options
      let dialer = Task {
        try await run.withWire(to: run.subject.dialled(address), options: patient) { wire in
          try await wire.exchange(Request(.exchange, size: 1000))
        }
      }
      // Long enough for several tries; were it not, the check would be weaker, not wrong.
      try await Task.sleep(for: .milliseconds(200))
      let own = try await run.listen(at: address)
      try await own.whileRunning { try await dialer.value }
    },
    ConformanceCheck(
      "deadline", "A dialer that waits for nobody gives up in time, and lists its tries",
      where: \.hasAbsent
    ) { run in
      let address = try await run.absentDialled()
      let error = try await run.connectError(address) {
        $0.mode = .waitUntilReady()
        $0.timeout = .milliseconds(300)
      }
      try run.expect(error.code == .timedOut, "the error's code is \(error.code)")
      try run.expectShape(error, address)
    },
    ConformanceCheck(
      "mute, try limit", "Somebody who never answers is given up when the try's limit is over",
      where: { $0.mute != nil }
    ) { run in
      try await run.withMute { address in
        let error = try await run.connectError(address) { $0.tryLimit = .milliseconds(300) }
        try run.expectShape(error, address)
        try run.expect(error.tries == 1, "there were \(error.tries) tries instead of one")
        try run.expectNotReady(error)
      }
    },
    ConformanceCheck(
      "mute, deadline", "A dialer that waits for somebody mute tries again, and gives up in time",
      where: { $0.mute != nil }
    ) { run in
      try await run.withMute { address in
        let error = try await run.connectError(address) {
          $0.mode = .waitUntilReady()
          $0.tryLimit = .milliseconds(100)
          $0.timeout = .seconds(3)
        }
        try run.expect(error.code == .timedOut, "the error's code is \(error.code)")
        try run.expectShape(error, address)
        // On a machine that is that busy, one try may take all the time there is.
        let wasStarved = error.attempts.contains { $0.duration > .seconds(1) }
        try run.expect(error.tries >= 2 || wasStarved, "there was no second try")
      }
    },
    ConformanceCheck(
      "cancelled, mute", "A connect to somebody mute ends at once when it is cancelled",
      where: { $0.mute != nil }
    ) { run in
      try await run.withMute { address in try await run.expectCancellable(address) }
    },
    ConformanceCheck(
      "cancelled, waiting", "A dialer that waits for nobody ends at once when it is cancelled",
      where: \.hasAbsent
    ) { run in
      try await run.expectCancellable(try await run.absentDialled())
    },
    ConformanceCheck(
      "cancelled at any moment",
      "A connect that is cancelled somewhere on its way leaves nothing open"
    ) { run in
      try await run.withServer { server in
        try await run.cancelSomewhere(100, server)
        // It did no harm to others.
        try await server.withWire { try await $0.exchange(Request(.exchange, size: 1000)) }
        if let own = server.own {
          try await run.eventually("the listener's connections to have ended") {
            own.server.active == 0
          }
        }
      }
    },
  ]
}

extension ConformanceRun {
  func absentDialled() async throws -> TransportAddress {
    guard let address = try await subject.absentAddress() else {
      throw Broken("there is no absent address: the check is wrong")
    }
    return subject.dialled(address)
  }

  /// The error of a connect that must fail.
  func connectError(
    _ address: TransportAddress, seen: Seen? = nil, _ set: (inout ConnectOptions) -> Void = { _ in }
  ) async throws -> TransportError {
    var options = subject.connectOptions
    set(&options)
    let (run, final) = (self, options)
    return try await within("connecting to \(address) in vain") {
      try await run.failToConnect(address, final, seen: seen)
    }
  }

  /// ``connectError(_:seen:_:)`` without a limit.
  private func failToConnect(
    _ address: TransportAddress, _ options: ConnectOptions, seen: Seen? = nil
  ) async throws -> TransportError {
    let connection: Connection
    do throws(TransportError) {
      connection = try await subject.registry.connect(to: address, options: options) { channel in
        try Wire.configure(channel, halfClose: false, seen: seen)
      }
    } catch {
      return error
    }
    connection.channel.close(promise: nil)
    throw Broken("there was a connection where there should be none")
  }

  func expectShape(_ error: TransportError, _ address: TransportAddress) throws {
    try expect(!error.attempts.isEmpty, "the error lists no try: \(error)")
    for attempt in error.attempts {
      try expect(attempt.duration >= .zero, "a try took less than no time")
      try expect(!attempt.failure.message.isEmpty, "a try does not say why it failed")
      try expect(
        attempt.failure.phase != .firstByte, "a try failed in a phase that it does not have")
    }
    try expect("\(error)".contains("\(address)"), "the error does not name \(address): \(error)")
  }

  func expectNotReady(_ error: TransportError) throws {
    let outlook = error.attempts.last?.failure.outlook
    try expect(
      outlook == .notReady,
      "the try is \(outlook.map { "\($0)" } ?? "not listed"), so that nobody waits for the peer: \(error)"
    )
  }

  /// Connects fail, at once or as soon as nobody else in the system has the socket open any more: a
  /// process that is just being started holds it until its exec.
  func expectGone(_ address: TransportAddress) async throws {
    let (registry, options) = (subject.registry, subject.connectOptions)
    try await within("connects to \(address) to fail") {
      while true {
        do throws(TransportError) {
          let connection = try await registry.connect(to: address, options: options) { _ in }
          connection.channel.close(promise: nil)
        } catch {
          if error.code == .connectFailed { return }
          throw error
        }
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  func withMute(_ body: (TransportAddress) async throws -> Void) async throws {
    guard let mute = try await subject.mute?() else { return }
    do {
      try await body(mute.address)
    } catch {
      await mute.end()
      throw error
    }
    await mute.end()
  }

  fileprivate func expectCancellable(_ address: TransportAddress) async throws {
    var options = subject.connectOptions
    options.mode = .waitUntilReady()
    let (run, patient) = (self, options)
    let dialer = Task { try await run.failToConnect(address, patient) }
    try await Task.sleep(for: .milliseconds(100))
    dialer.cancel()
    let error = try await within("the cancelled connect to end") { try await dialer.value }
    try expect(error.code == .cancelled, "the error's code is \(error.code)")
  }

  /// Starts connects and cancels each at another moment. What connects nevertheless is closed.
  func cancelSomewhere(_ rounds: Int, _ server: Server) async throws {
    let (registry, options) = (subject.registry, subject.connectOptions)
    let discard = subject.discard
    for round in 0..<rounds {
      let address = try await server.address()
      let dialer = Task { () async throws -> Void in
        let connection: Connection
        do throws(TransportError) {
          connection = try await registry.connect(to: address, options: options) { channel in
            try Wire.configure(channel, halfClose: false)
          }
        } catch {
          guard error.code == .cancelled else { throw error }
          // Not in this task, which is cancelled.
          await Task { await discard(address) }.value
          return
        }
        try await Wire(connection).close()
      }
      if round % 4 > 0 { try await Task.sleep(for: .microseconds(round * 20)) }
      dialer.cancel()
      try await within("the cancelled connect to end") { try await dialer.value }
    }
  }
}

extension TransportError {
  var tries: Int { attempts.reduce(0) { $0 + $1.count } }
}
