import Glibc
import Testing
import TransportCore

@testable import TransportRelay

@Suite("A relay")
struct RelayTests {
  @Test("carries bytes of every size both ways, and counts them", arguments: [1, 4095, 1 << 20])
  func bytes(_ size: Int) async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      let (there, back) = (pattern(size), pattern(size, seed: 2))
      async let written = near.write(there)
      #expect(try await far.read(size).bytes == there)
      #expect(try await written == size)
      async let answered = far.write(back)
      #expect(try await near.read(size).bytes == back)
      #expect(try await answered == size)
      let statistics = fixture.relay.statistics
      #expect(statistics.bytesFromNear == size && statistics.bytesFromFar == size)
      #expect(statistics.open == 1 && statistics.total == 1 && statistics.failed == 0)
    }
  }

  @Test("passes on the near side's end, and the far side's answer to it")
  func nearHalfClose() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      try await near.write([1, 2, 3])
      near.endOutput()
      #expect(try await far.read() == .init(bytes: [1, 2, 3], isEnded: true))
      try await far.write([4, 5])
      far.endOutput()
      #expect(try await near.read() == .init(bytes: [4, 5], isEnded: true))
      try await fixture.eventually("it is over") { $0.open == 0 }
      #expect(fixture.relay.statistics.broken == 0)
    }
  }

  @Test("passes on the far side's end, and what the near side sends behind it")
  func farHalfClose() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      try await far.write([1])
      far.endOutput()
      #expect(try await near.read() == .init(bytes: [1], isEnded: true))
      let bytes = pattern(1 << 20)
      async let read = far.read()
      try await near.write(bytes)
      fixture.close(near)
      #expect(try await read == .init(bytes: bytes, isEnded: true))
      try await fixture.eventually("it is over") { $0.open == 0 }
      #expect(fixture.relay.statistics.broken == 0)
    }
  }

  @Test("delivers all that was sent before a close, however slowly it is read")
  func closeWithBytesOnTheWay() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      // The rest fits between the two: a write of all of it ends before it is read.
      let bytes = pattern((1 << 20) + 100_000)
      async let written = near.write(bytes)
      let first = try await far.read(1 << 20, atOnce: 1000)
      #expect(try await written == bytes.count)
      fixture.close(near)
      let rest = try await far.read(atOnce: 1000)
      #expect(first.bytes + rest.bytes == bytes)
      #expect(rest.isEnded && rest.errno == 0)
    }
  }

  @Test("holds little of 16 MiB for a reader that is slow, and loses nothing of them")
  func slowReader() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      let size = 16 << 20
      let bytes = pattern(size)
      async let written = near.write(bytes)
      // Nobody reads: what the relay has taken stands still, far below the whole.
      var last = -1
      try await eventually("the relay stops reading") {
        try await Task.sleep(for: .milliseconds(200))
        let now = fixture.relay.statistics.bytesFromNear
        defer { last = now }
        return now == last && now > 0
      }
      let options = RelayOptions()
      // The far socket's own buffers hold some, too.
      #expect(last <= options.highWaterMark + options.bufferSize + (2 << 20), "\(last)")
      #expect(try await far.read(size).bytes == bytes)
      #expect(try await written == size)
    }
  }

  @Test("a side that fails closes the other, after what it had sent")
  func failure() async throws {
    try await RelayFixture.use { fixture in
      let (near, far) = try await fixture.pair()
      try await far.write([1])
      #expect(try await near.read(1).bytes == [1])
      try await far.write(pattern(1000))
      try await fixture.eventually("it was sent") { $0.bytesFromFar == 1001 }
      try await near.write([2, 3])
      // With bytes unread, closing is a reset.
      fixture.close(near)
      let input = try await far.read()
      #expect(input.bytes == [2, 3] && input.isEnded)
      try await fixture.eventually("it is over") { $0.open == 0 }
      #expect(fixture.relay.statistics.broken == 1)
    }
  }

  @Test("a dial that fails costs one connection, and says between which addresses")
  func dialFails() async throws {
    try await RelayFixture.use(listens: false) { fixture in
      let near = try fixture.connect()
      #expect(try await near.read().isEnded)
      try await fixture.eventually("it is counted") { $0.failed == 1 && $0.open == 0 }
      // It is counted first.
      try await eventually("it is logged") {
        fixture.log.lines.contains { $0.contains("Cannot dial") }
      }
      let line = try #require(fixture.log.lines.first { $0.contains("Cannot dial") })
      #expect(line.contains("from=unix://\(fixture.nearPath)"))
      #expect(line.contains("to=unix://\(fixture.farPath)"))
      #expect(line.contains("ENOENT"))
      try fixture.serve()
      let (next, far) = try await fixture.pair()
      try await next.write([7])
      #expect(try await far.read(1).bytes == [7])
    }
  }

  @Test("nobody is dialled for any longer when the peer has gone without a byte")
  func unwanted() async throws {
    var options = RelayOptions()
    options.connect.mode = .waitUntilReady()
    options.connect.timeout = .seconds(600)
    try await RelayFixture.use(options, listens: false) { fixture in
      let near = try fixture.connect()
      try await fixture.eventually("it is there") { $0.open == 1 }
      fixture.close(near)
      try await fixture.eventually("it is over") { $0.open == 0 }
      #expect(fixture.relay.statistics.failed == 0)
    }
  }

  @Test("what a peer left before it went is delivered when the far side is ready")
  func sentBeforeReady() async throws {
    var options = RelayOptions()
    options.connect.mode = .waitUntilReady()
    options.connect.timeout = .seconds(600)
    try await RelayFixture.use(options, listens: false) { fixture in
      let near = try fixture.connect()
      try await near.write([1, 2, 3])
      fixture.close(near)
      try await fixture.eventually("it is there") { $0.total == 1 }
      try fixture.serve()
      #expect(try await fixture.accept().read() == .init(bytes: [1, 2, 3], isEnded: true))
    }
  }

  @Test("what a far side sent before it closed is delivered, also when it closed at once")
  func farGoneAtOnce() async throws {
    try await RelayFixture.use(connector: OverWhenConnected()) { fixture in
      let near = try fixture.connect()
      let far = try await fixture.accept()
      try await far.write([1, 2, 3])
      fixture.close(far)
      #expect(try await near.read() == .init(bytes: [1, 2, 3], isEnded: true))
    }
  }

  @Test("a far side that failed before the bridge began has failed, also when its input ended then")
  func farFailedAtOnce() async throws {
    try await RelayFixture.use(connector: OverWhenConnected(failsAtEnd: true)) { fixture in
      let near = try fixture.connect()
      let far = try await fixture.accept()
      fixture.close(far)
      #expect(try await near.read().isEnded)
      try await fixture.eventually("it is counted") { $0.open == 0 && $0.broken == 1 }
    }
  }

  @Test("a peer that the policy does not let in is counted, and nobody is dialled for it")
  func refused() async throws {
    var options = RelayOptions()
    options.policy = .users([4_294_967_000])
    try await RelayFixture.use(options) { fixture in
      #expect(try await fixture.connect().read().isEnded)
      try await fixture.eventually("it is counted") { $0.refused == 1 }
      #expect(fixture.relay.statistics.total == 0)
    }
  }

  @Test("200 connections at once each get their own bytes back, and no descriptor is left")
  func crowd() async throws {
    try await RelayFixture.use { fixture in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for number in 0..<200 {
          group.addTask {
            let bytes = pattern(20_000, seed: UInt64(number))
            let near = try RawSocket.connected(to: fixture.nearPath)
            defer { near.close() }
            try await near.write(bytes)
            near.endOutput()
            #expect(try await near.read() == .init(bytes: bytes, isEnded: true))
          }
          group.addTask {
            // Whoever it is: an echo.
            let far = try await fixture.accept()
            let input = try await far.read()
            try await far.write(input.bytes)
            fixture.close(far)
          }
        }
        try await group.waitForAll()
      }
      try await fixture.eventually("all are over") { $0.open == 0 }
      #expect(fixture.relay.statistics.total == 200)
      #expect(fixture.relay.statistics.bytesFromNear == 200 * 20_000)
      #expect(fixture.relay.statistics.bytesFromFar == 200 * 20_000)
      #expect(fixture.relay.statistics.broken == 0)
      #expect(connections(at: fixture.nearPath) == 0)
      #expect(connections(at: fixture.farPath) == 0)
    }
  }
}

/// How many accepted sockets there are at a path.
private func connections(at path: String) -> Int {
  guard let file = fopen("/proc/net/unix", "r") else { return -1 }
  defer { fclose(file) }
  var count = 0
  var line = [CChar](repeating: 0, count: 512)
  while fgets(&line, CInt(line.count), file) != nil {
    let text = String(
      decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Num RefCount Protocol Flags Type St Inode Path; 03 is SS_CONNECTED.
    let fields = text.split(whereSeparator: \.isWhitespace)
    if fields.count > 7, fields[5] == "03", fields[7] == path { count += 1 }
  }
  return count
}
