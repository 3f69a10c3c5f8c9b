import NIOCore
import Testing
import TransportCore

@testable import TransportRelay

@Suite("A relay's limits")
struct RelayLimitTests {
  @Test("above the most connections, peers wait until one ends, and none is refused")
  func maxConnections() async throws {
    var options = RelayOptions()
    options.maxConnections = 2
    try await RelayFixture.use(options) { fixture in
      let (first, firstFar) = try await fixture.pair()
      let (second, secondFar) = try await fixture.pair()
      let third = try fixture.connect()
      let fourth = try fixture.connect()
      try await third.write([3])
      try await fourth.write([4])
      try await Task.sleep(for: .milliseconds(100))
      #expect(fixture.relay.statistics.open == 2)
      fixture.close(first)
      fixture.close(firstFar)
      let thirdFar = try await fixture.accept()
      // Which of those who wait is next is nobody's promise.
      let early = try await thirdFar.read(1).bytes
      fixture.close(second)
      fixture.close(secondFar)
      let late = try await fixture.accept().read(1).bytes
      #expect(Set([early, late]) == [[3], [4]])
      #expect(fixture.relay.statistics.refused == 0)
    }
  }

  @Test("an idle bridge is ended, a busy one is not")
  func idle() async throws {
    var options = RelayOptions()
    // Long beside the pauses, which a busy machine stretches.
    options.idleLimit = .seconds(3)
    try await RelayFixture.use(options) { fixture in
      let (near, far) = try await fixture.pair()
      for _ in 0..<40 {
        try await near.write([1])
        #expect(try await far.read(1).bytes == [1])
        try await Task.sleep(for: .milliseconds(100))
      }
      #expect(try await far.read().isEnded)
      #expect(try await near.read().isEnded)
      try await fixture.eventually("it is over") { $0.open == 0 && $0.broken == 1 }
    }
  }

  @Test("a bridge ends when it has lasted as long as it may")
  func lifetime() async throws {
    var options = RelayOptions()
    options.lifetimeLimit = .milliseconds(100)
    try await RelayFixture.use(options) { fixture in
      let (near, far) = try await fixture.pair()
      #expect(try await far.read().isEnded)
      #expect(try await near.read().isEnded)
    }
  }

  @Test("a far side that cannot be told of an end still gives its whole answer")
  func uncarriedEnd() async throws {
    try await RelayFixture.use(connector: WithoutHalfClose()) { fixture in
      let (near, far) = try await fixture.pair()
      try await near.write([1])
      near.endOutput()
      #expect(try await far.read(1).bytes == [1])
      let answer = pattern(1 << 20)
      async let written = far.write(answer)
      #expect(try await near.read(answer.count).bytes == answer)
      _ = try await written
      fixture.close(far)
      #expect(try await near.read() == .init(isEnded: true))
      try await fixture.eventually("it is over") { $0.open == 0 && $0.broken == 0 }
    }
  }

  @Test("a far side that cannot be told of an end, and is silent, is closed at the limit")
  func uncarriedEndAndSilence() async throws {
    var options = RelayOptions()
    options.endLimit = .milliseconds(200)
    try await RelayFixture.use(options, connector: WithoutHalfClose()) { fixture in
      let (near, far) = try await fixture.pair()
      near.endOutput()
      #expect(try await far.read().isEnded)
      #expect(try await near.read().isEnded)
    }
  }

  @Test("a far side that goes on when the near one is gone is closed at the limit")
  func goneAndSilence() async throws {
    var options = RelayOptions()
    options.endLimit = .milliseconds(200)
    try await RelayFixture.use(options) { fixture in
      let (near, far) = try await fixture.pair()
      try await far.write([1])
      #expect(try await near.read(1).bytes == [1])
      fixture.close(near)
      #expect(try await far.read() == .init(isEnded: true))
      try await fixture.eventually("it is over") { $0.open == 0 }
    }
  }

  @Test("a far side that sends without end when the near one is gone is closed")
  func goneAndEndlessOutput() async throws {
    var options = RelayOptions()
    options.endLimit = .seconds(600)
    try await RelayFixture.use(options) { fixture in
      let (near, far) = try await fixture.pair()
      near.endOutput()
      #expect(try await far.read() == .init(isEnded: true))
      fixture.close(near)
      // Far more than sockets hold; made once, since a debug build takes its time for it.
      let part = pattern(256 << 10)
      var written = 0
      for _ in 0..<256 {
        let count = try await far.write(part)
        written += count
        guard count == part.count else { break }
      }
      #expect(written < 64 << 20)
      try await fixture.eventually("it is over") { $0.open == 0 && $0.broken == 1 }
    }
  }

  @Test("what a far side was sent reaches it, though it answers somebody who is gone")
  func goneAndAnswer() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      try await near.write([1, 2, 3])
      fixture.close(near)
      try await far.write(pattern(10_000))
      #expect(try await far.read() == .init(bytes: [1, 2, 3], isEnded: true))
    }
  }

  static let wrong: [(String, RelayOptions)] = [
    ("maxConnections", RelayOptions(maxConnections: 0)),
    ("maxConnections", RelayOptions(maxConnections: -1)),
    ("idleLimit", RelayOptions(idleLimit: .zero)),
    ("idleLimit", RelayOptions(idleLimit: .seconds(-1))),
    ("lifetimeLimit", RelayOptions(lifetimeLimit: .seconds(Int64.max))),
    ("endLimit", RelayOptions(endLimit: .zero)),
    ("bufferSize", RelayOptions(bufferSize: 0)),
    ("bufferSize", RelayOptions(bufferSize: .max)),
    ("highWaterMark", RelayOptions(highWaterMark: -5)),
  ]

  @Test(
    "an option that nothing could keep to is refused by its name, with what to give",
    arguments: wrong)
  func wrongOption(_ name: String, _ options: RelayOptions) throws {
    let error = try #require(throws: TransportError.self) { try Bridge(options: options) }
    #expect(error.code == .invalidConfiguration)
    #expect("\(error)".contains("\(name) is ") && "\(error)".contains(" Give it from "), "\(error)")
  }

  @Test("buffers follow what comes, and only the first, which is small, is kept")
  func buffers() {
    var sizes = RelayReadAllocator(most: 256 << 10)
    var pool = NIOPooledRecvBufferAllocator(capacity: 1, recvAllocator: sizes)
    #expect(sizes.buffer(allocator: .init()).capacity == 2048)
    let counts = [
      (100, 2048), (2048, 256 << 10), (200_000, 256 << 10), (10_000, 20_000), (10, 2048),
    ]
    for (count, next) in counts {
      let mayGrow = sizes.record(actualReadBytes: count)
      #expect(mayGrow)
      // ByteBuffer rounds up to a power of two.
      #expect((next..<2 * next).contains(sizes.buffer(allocator: .init()).capacity), "\(count)")
    }
    for count in [2048, 256 << 10, 256 << 10] {
      let (buffer, _) = pool.buffer(allocator: .init()) { $0.writeRepeatingByte(1, count: count) }
      pool.record(actualReadBytes: count)
      #expect(buffer.readableBytes == count)
    }
    #expect(pool.count == 1)
  }

  @Test("stopping lets bridges end by themselves, and takes no more")
  func drain() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      fixture.relay.stopAccepting()
      #expect(throws: (any Error).self) { try RawSocket.connected(to: fixture.nearPath) }
      try await near.write([1])
      #expect(try await far.read(1).bytes == [1])
      #expect(fixture.relay.statistics.open == 1)
      fixture.close(near)
      fixture.close(far)
      try await fixture.end()
    }
  }

  @Test("cancellation closes every bridge, and those that are being dialled")
  func cancellation() async throws {
    var options = RelayOptions()
    options.connect.mode = .waitUntilReady()
    options.connect.timeout = .seconds(600)
    try await RelayFixture.use(options) { fixture in
      let (near, far) = try await fixture.pair()
      fixture.stopServing()
      let waiting = try fixture.connect()
      try await fixture.eventually("both are there") { $0.open == 2 }
      fixture.cancel()
      try await fixture.end()
      #expect(try await near.read().isEnded)
      #expect(try await far.read().isEnded)
      #expect(try await waiting.read().isEnded)
    }
  }
}
