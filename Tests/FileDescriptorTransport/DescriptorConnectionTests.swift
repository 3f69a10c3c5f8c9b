import FileDescriptorTransport
import Glibc
import NIOCore
import Testing
import TransportCore

@Suite struct DescriptorConnectionTests {
  /// One of a test's own: numbers come again and again in one process.
  private let ledger = DescriptorLedger()

  private func connect(
    _ number: Int32, policy: PeerPolicy? = nil
  ) async throws -> (connection: Connection, texts: AsyncStream<String>) {
    let (texts, continuation) = AsyncStream<String>.makeStream()
    let connection = try await FileDescriptorConnector(ledger: ledger).connect(
      to: .descriptor(number), options: .patient(mode: .waitUntilReady(), policy: policy)
    ) { channel in
      try channel.pipeline.syncOperations.addHandler(Incoming(continuation))
    }
    return (connection, texts)
  }

  @Test("A pair's end is a connection, whose peer is the process that made the pair")
  func pair() async throws {
    let (ours, theirs) = try Made.pair()
    defer { close(theirs) }
    let (connection, texts) = try await connect(ours)
    #expect(connection.address == .descriptor(ours))
    #expect(connection.peer.unix == .init(pid: getpid(), uid: geteuid(), gid: getegid()))
    #expect(connection.timings.map(\.phase) == [.connect, .identity])
    #expect(fcntl(ours, F_GETFD) & FD_CLOEXEC != 0)
    try writeText(theirs, "hello")
    for await text in texts {
      #expect(text == "hello")
      break
    }
    try await connection.channel.writeAndFlush(ByteBuffer(string: "back"))
    #expect(try await readText(theirs, 4) == "back")
    try await connection.channel.close()
    #expect(try await readText(theirs, 1) == "")
  }

  @Test("A TCP socket's peer is its address")
  func tcp() async throws {
    let (listening, address) = try Made.tcpListener(INADDR_LOOPBACK)
    defer { close(listening) }
    let ours = try Made.tcpConnection(to: address)
    let (connection, _) = try await connect(ours)
    #expect(
      connection.peer.network
        == .init(host: "127.0.0.1", port: UInt16(bigEndian: address.sin_port), isLoopback: true))
    try await connection.channel.close()
  }

  @Test("A descriptor is adopted once in a process's life, unless it is said to be a new one")
  func once() async throws {
    let (ours, theirs) = try Made.pair()
    defer { close(theirs) }
    let (connection, _) = try await connect(ours)
    for _ in 0..<2 {
      let error = await #expect(throws: TransportError.self) { _ = try await connect(ours) }
      #expect(error?.attempts.first?.failure.errno == EBUSY)
      #expect(error?.attempts.first?.failure.outlook == .fatal)
      // The second time, behind its end.
      try? await connection.channel.close()
    }
    let (next, nextTheirs) = try Made.pair()
    defer { close(nextTheirs) }
    ledger.receive(next)
    try await connect(next).connection.channel.close()
  }

  @Test("A peer that the policy does not allow is closed before a byte is exchanged")
  func policy() async throws {
    let (ours, theirs) = try Made.pair()
    defer { close(theirs) }
    let error = await #expect(throws: TransportError.self) {
      _ = try await connect(ours, policy: .users([geteuid() + 1]))
    }
    #expect(error?.code == .refusedByPolicy)
    #expect(try await readText(theirs, 1) == "")
  }

  enum Wrong: CaseIterable {
    case closed, negative, regular, directory, pipe, null, datagram, sequenced, unconnected,
      listening
  }

  @Test("What is no connected stream socket is left as it is, and named", arguments: Wrong.allCases)
  func wrong(_ wrong: Wrong) async throws {
    var opened: [Int32] = []
    defer { for descriptor in opened { close(descriptor) } }
    let number: Int32
    let (errno, says): (Int32, String)
    switch wrong {
    case .closed: (number, errno, says) = (1_000_000, EBADF, "is not open")
    case .negative: (number, errno, says) = (-1, EBADF, "is not open")
    case .regular:
      number = try check(open("/etc/passwd", O_RDONLY), "open")
      (errno, says) = (ENOTSOCK, "a regular file")
    case .directory:
      number = try check(open("/", O_RDONLY), "open")
      (errno, says) = (ENOTSOCK, "a directory")
    case .pipe:
      var ends: [Int32] = [-1, -1]
      _ = try check(Glibc.pipe(&ends), "pipe")
      opened.append(ends[1])
      number = ends[0]
      (errno, says) = (ENOTSOCK, "a pipe")
    case .null:
      number = try check(open("/dev/null", O_RDWR), "open")
      (errno, says) = (ENOTSOCK, "a character device")
    case .datagram, .sequenced:
      let (end, other) = try Made.pair(wrong == .datagram ? SOCK_DGRAM : SOCK_SEQPACKET)
      opened.append(other)
      number = end
      (errno, says) = (EPROTOTYPE, wrong == .datagram ? "a datagram" : "a sequenced-packet")
    case .unconnected:
      number = try Made.socket(AF_INET)
      (errno, says) = (ENOTCONN, "is not connected")
    case .listening:
      number = try Made.unixListener().descriptor
      (errno, says) = (EISCONN, "listens: it is not a connection")
    }
    if errno != EBADF { opened.append(number) }
    let flags = fcntl(number, F_GETFD)
    let error = await #expect(throws: TransportError.self) { _ = try await connect(number) }
    let failure = error?.attempts.first?.failure
    #expect(failure?.errno == errno)
    #expect(failure?.message.contains(says) == true)
    #expect(failure?.outlook == .fatal)
    #expect(fcntl(number, F_GETFD) == flags)
  }
}
