import Glibc
import MemoryTransport
import NIOCore
import Testing
import TransportCore

@Suite struct MemoryFaultTests {
  @Test("Reads deliver no more than a chunk, and lose nothing", arguments: [1, 7, 1000])
  func chunks(size: Int) async throws {
    try await withPair("memory://pair?chunk=\(size)") { pair in
      let sent = bytes(3000)
      try await pair.acceptor.send(sent)
      let pieces = await pair.dialer.pieces(sent.count)
      #expect(Array(pieces.joined()) == sent)
      #expect(pieces.allSatisfy { $0.count <= size })
    }
  }

  @Test("A chunk delivered waits for the next read when nobody reads automatically")
  func chunksByDemand() async throws {
    try await withPair(dialing: MemoryFaults(chunk: 2)) { pair in
      let channel = pair.dialer.channel
      _ = channel.setOption(.autoRead, value: false)
      try await pair.acceptor.send(bytes(6))
      channel.read()
      var pieces = await pair.dialer.pieces(2)
      #expect(pieces == [[0, 31]])
      channel.read()
      pieces = await pair.dialer.pieces(2)
      #expect(pieces == [[62, 93]])
      _ = channel.setOption(.autoRead, value: true)
      pieces = await pair.dialer.pieces(2)
      #expect(pieces == [[124, 155]])
    }
  }

  @Test("Latency loses nothing and keeps the order of bytes and ends, both ways")
  func latency() async throws {
    try await withPair("memory://pair?latency_ms=20") { pair in
      let sent = bytes(300_000)
      let clock = ContinuousClock()
      let began = clock.now
      try await pair.dialer.send(sent)
      try await pair.dialer.channel.close(mode: .output)
      #expect(await pair.acceptor.allBytes() == sent)
      #expect(clock.now - began >= .milliseconds(20))
      try await pair.acceptor.send(sent)
      try await pair.acceptor.channel.close(mode: .output)
      #expect(await pair.dialer.allBytes() == sent)
    }
  }

  @Test("What the peer sent before it closed arrives in spite of latency and chunks")
  func closeBehindBytes() async throws {
    try await withPair("memory://pair?latency_ms=50&chunk=100", halfClosure: false) { pair in
      let sent = bytes(10_000)
      try await pair.acceptor.send(sent)
      try await pair.acceptor.channel.close()
      #expect(await pair.dialer.allBytes() == sent)
    }
  }

  @Test("A reset comes right behind the last byte that was read", arguments: [0, 1, 100])
  func resetIn(count: Int) async throws {
    try await withPair("memory://pair?reset_in=\(count)") { pair in
      pair.acceptor.channel.writeAndFlush(ByteBuffer(bytes: bytes(1000)), promise: nil)
      var arrivals: [Arrival] = []
      for await arrival in pair.dialer.arrivals { arrivals.append(arrival) }
      #expect(arrivals.popLast() == .error(ECONNRESET))
      #expect(arrivals == (count == 0 ? [] : [.bytes(Array(bytes(count)))]))
    }
  }

  @Test("A reset comes right behind the last byte that was written", arguments: [0, 1, 100])
  func resetOut(count: Int) async throws {
    try await withPair("memory://pair?reset_out=\(count)") { pair in
      await #expect(throws: (any Error).self) { try await pair.dialer.send(bytes(1000)) }
      var arrivals: [Arrival] = []
      for await arrival in pair.dialer.arrivals { arrivals.append(arrival) }
      #expect(arrivals == [.error(ECONNRESET)])
      #expect(await pair.acceptor.allBytes() == bytes(count))
    }
  }

  @Test("The input ends early; the output goes on", arguments: [0, 1, 100])
  func endIn(count: Int) async throws {
    try await withPair("memory://pair?eof_in=\(count)") { pair in
      pair.acceptor.channel.writeAndFlush(ByteBuffer(bytes: bytes(1000)), promise: nil)
      #expect(await pair.dialer.allBytes() == bytes(count))
      try await pair.dialer.send([1, 2, 3])
      #expect(await pair.acceptor.pieces(3) == [[1, 2, 3]])
    }
  }

  @Test("The input's early end closes a connection that does not know half-closure")
  func endInWhole() async throws {
    try await withPair("memory://pair?eof_in=5", halfClosure: false) { pair in
      pair.acceptor.channel.writeAndFlush(ByteBuffer(bytes: bytes(1000)), promise: nil)
      #expect(await pair.dialer.allBytes() == bytes(5))
      try await pair.dialer.channel.closeFuture.get()
    }
  }

  @Test("The output ends early; the input goes on", arguments: [0, 1, 100])
  func endOut(count: Int) async throws {
    try await withPair("memory://pair?eof_out=\(count)") { pair in
      await #expect(throws: ChannelError.outputClosed) { try await pair.dialer.send(bytes(1000)) }
      #expect(await pair.acceptor.allBytes() == bytes(count))
      try await pair.acceptor.send([1, 2, 3])
      #expect(await pair.dialer.pieces(3) == [[1, 2, 3]])
    }
  }

  @Test("A listener's connections have its faults")
  func listenerFaults() async throws {
    try await withPair(accepting: MemoryFaults(chunk: 1)) { pair in
      try await pair.dialer.send(bytes(10))
      #expect(await pair.acceptor.pieces(10) == bytes(10).map { [$0] })
    }
  }

  @Test("A peer is pushed back by a slow reader behind faults")
  func backpressure() async throws {
    try await withPair("memory://pair?latency_ms=1&chunk=4096") { pair in
      _ = pair.dialer.channel.setOption(.autoRead, value: false)
      let sent = bytes(8 << 20)
      async let writing: Void = pair.acceptor.send(sent)
      // It is more than sockets' buffers and the fault's window hold.
      try await eventually("the writer is pushed back") { !pair.acceptor.channel.isWritable }
      _ = pair.dialer.channel.setOption(.autoRead, value: true)
      #expect(Array(await pair.dialer.pieces(sent.count).joined()) == sent)
      try await writing
    }
  }

  @Test(
    "A fault that makes no sense is refused before anything is dialled",
    arguments: [
      "latency_ms=-1", "latency_ms=3600001", "latency_ms=", "chunk=0", "chunk=x",
      "reset_in=1.5", "reset_out=+1", "eof_in=-1", "eof_out=99999999999999999999",
      "never_answers=yes", "chunk=1&chunk=2",
    ])
  func nonsense(parameters: String) async throws {
    let address = try TransportAddress(parsing: "memory://pair?" + parameters)
    let dialing = await #expect(throws: TransportError.self) {
      _ = try await MemoryConnector(network: MemoryNetwork()).connect(to: address) { _ in }
    }
    #expect(dialing?.code == .connectFailed)
    #expect(dialing?.attempts.map(\.failure.errno) == [EINVAL])
    let listening = await #expect(throws: TransportError.self) {
      _ = try await MemoryListenerFactory(network: MemoryNetwork())
        .listen(at: address, options: ListenOptions())
    }
    #expect(listening?.code == .invalidAddress)
  }

  @Test("A program's own nonsense is refused, too")
  func programsNonsense() async throws {
    let faults = [
      MemoryFaults(latency: .seconds(-1)), MemoryFaults(chunk: 0),
      MemoryFaults(endAfterReading: -1),
    ]
    for faults in faults {
      let error = await #expect(throws: TransportError.self) {
        _ = try await MemoryConnector(network: MemoryNetwork(), faults: faults)
          .connect(to: TransportAddress(place: .memory(name: "pair"))) { _ in }
      }
      #expect(error?.message.contains("make no sense") == true)
    }
  }
}
