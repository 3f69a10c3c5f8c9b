import Glibc
import HybridVsockTransport
import NIOCore
import Synchronization
import Testing
import TransportCore

@Suite struct ConnectorTests {
  @Test("A connection tells the VMM, the port it assigned, and how long each phase took")
  func connects() async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      client.write("OK 1073741825\n" + client.readLine())
    } _: { _ in
      var client = try await TextConnection.connect(to: directory.address(1024))
      #expect(await client.readToEnd() == "CONNECT 1024")
      let connection = client.connection
      #expect(connection.address == directory.address(1024))
      #expect(connection.peer.monitor?.assignedPort == 1_073_741_825)
      #expect(connection.peer.monitor?.process.pid == getpid())
      #expect(connection.peer.monitor?.process.uid == geteuid())
      // Neither the guest nor a plain unix peer.
      #expect(connection.peer.unix == nil)
      #expect(connection.peer.vsock == nil)
      #expect(connection.timings.map(\.phase) == [.connect, .identity, .handshake])
    }
  }

  @Test(
    "The address or the connector says which VMM it is; of another nothing is promised",
    arguments: [
      (nil, nil, false), ("firecracker", nil, false), ("cloud-hypervisor", nil, true),
      ("dragonball", nil, false), ("vhost-device-vsock", nil, false),
      (nil, .cloudHypervisor, true), ("firecracker", .cloudHypervisor, false),
    ] as [(String?, HybridVsockMonitor?, Bool)])
  func halfClose(vmm: String?, monitor: HybridVsockMonitor?, carries: Bool) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      _ = client.readLine()
      client.write("OK 1\n")
      _ = client.readToEnd()
    } _: { _ in
      let client = try await TextConnection.connect(
        to: directory.address(vmm: vmm), through: HybridVsockConnector(monitor: monitor))
      #expect(client.connection.carriesHalfClose == carries)
      await client.close()
    }
  }

  @Test("A VMM that is not known is an error that names those that are")
  func unknownVMM() async throws {
    let directory = try TemporaryDirectory()
    let error = await failure(of: directory.address(vmm: "qemu"))
    #expect(error?.attempts.first?.failure.outlook == .fatal)
    #expect(error?.hint?.contains("vhost-device-vsock") == true)
  }

  @Test("A path that no sockaddr holds, and one with colons, are dialled")
  func paths() async throws {
    let directory = try TemporaryDirectory()
    let part = directory.path + "/" + String(repeating: "x", count: 200)
    #expect(mkdir(part, 0o700) == 0)
    for (link, path) in [(true, part + "/vm.sock"), (false, directory.path + "/a:b:c")] {
      let bound = link ? directory.socket : path
      try await withMuxer(at: bound) { client in
        _ = client.readLine()
        client.write("OK 1\n!")
      } _: { _ in
        if link { #expect(rename(bound, path) == 0) }
        let address = try TransportAddress(parsing: "hvsock://\(path):1024")
        var client = try await TextConnection.connect(to: address)
        #expect(await client.readToEnd() == "!")
      }
    }
  }

  @Test("A peer that the policy refuses gets no byte")
  func refused() async throws {
    let directory = try TemporaryDirectory()
    let heard = Mutex<[String]>([])
    let asked = Mutex<[PeerIdentity]>([])
    let nobody = PeerPolicy(name: "nobody") { peer in
      asked.withLock { $0.append(peer) }
      return false
    }
    try await withMuxer(at: directory.socket) { client in
      let all = client.readToEnd()
      heard.withLock { $0.append(all) }
    } _: { muxer in
      let error = await failure(
        of: directory.address(), .patient(mode: .waitUntilReady(), policy: nobody))
      #expect(error?.code == .refusedByPolicy)
      #expect(error?.attempts.count == 1)
      #expect(error?.hint?.contains("not the guest") == true)
      try await eventually("the muxer saw the end") { muxer.ended == 1 }
    }
    #expect(heard.withLock { $0 } == [""])
    #expect(asked.withLock { $0 }.map { $0.monitor?.process.pid } == [getpid()])
    #expect(asked.withLock { $0 }.allSatisfy { $0.unix == nil })
  }

  @Test(
    "An answer that is no VMM's is final, and is shown",
    arguments: [
      ("HTTP/1.1 400 Bad Request\r\n", "HTTP/1.1 400 Bad Request\\r\\n"), ("NO\n", "NO\\n"),
      ("OK\n", "OK\\n"), ("OK 4294967296\n", "4294967296"), ("\u{0}\u{1}\"", "\\x00\\x01\\\""),
      (String(repeating: "x", count: 100_000), "\"" + String(repeating: "x", count: 48) + "\"…"),
    ])
  func malformed(reply: String, shown: String) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      _ = client.readLine()
      client.write(reply)
      _ = client.readToEnd()
    } _: { muxer in
      let error = await failure(of: directory.address(), .patient(mode: .waitUntilReady()))
      #expect(error?.code == .connectFailed)
      let failure = error?.attempts.first?.failure
      #expect(failure?.phase == .handshake)
      #expect(failure?.outlook == .fatal)
      #expect(failure?.message.contains(shown) == true, "\(failure?.message ?? "")")
      #expect(muxer.accepted == 1)
    }
  }

  @Test("A VMM that never answers is given up with the try, and lets go")
  func mute() async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      _ = client.readToEnd()
    } _: { muxer in
      let error = await failure(of: directory.address(), .patient(tryLimit: .milliseconds(20)))
      let failure = error?.attempts.first?.failure
      #expect(failure?.phase == .handshake)
      #expect(failure?.errno == ETIMEDOUT)
      #expect(failure?.outlook == .notReady)
      #expect(failure?.hint?.contains("did not answer") == true)
      try await eventually("the connection is closed") { muxer.ended == 1 }
    }
  }

  @Test("A dial that is cancelled while the VMM is silent ends at once, and lets go")
  func cancelled() async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      _ = client.readToEnd()
    } _: { muxer in
      let dial = Task { await failure(of: directory.address(), .patient(mode: .waitUntilReady())) }
      try await eventually("the VMM has the connection") { muxer.accepted == 1 }
      dial.cancel()
      #expect(await dial.value?.code == .cancelled)
      try await eventually("the connection is closed") { muxer.ended == 1 }
    }
  }

  @Test(
    "A dial that is given up is closed behind the VMM's answer where that may matter to its guest")
  func answeredLate() async throws {
    let directory = try TemporaryDirectory()
    for (monitor, stays) in [
      (nil, true), (.vhostDeviceVsock, true), (.firecracker, false),
    ] as [(HybridVsockMonitor?, Bool)] {
      let step = Atomic<Int>(0)
      try await withMuxer(at: directory.socket) { client in
        _ = client.readLine()
        step.store(1, ordering: .releasing)
        let isOver = waitBriefly { step.load(ordering: .acquiring) == 2 }
        // Long before the answer is not waited for any more.
        let isThere = isOver && !waitBriefly(.milliseconds(stays ? 200 : 10_000)) { client.isOver }
        client.write("OK 5\n")
        _ = client.readToEnd()
        step.store(isThere ? 3 : 4, ordering: .releasing)
      } _: { muxer in
        let dial = Task {
          await failure(
            of: directory.address(), .patient(mode: .waitUntilReady()),
            through: HybridVsockConnector(monitor: monitor))
        }
        try await eventually("the VMM has the line") { step.load(ordering: .acquiring) == 1 }
        dial.cancel()
        #expect(await dial.value?.code == .cancelled)
        step.store(2, ordering: .releasing)
        try await eventually("the connection is closed") { muxer.ended == 1 }
        #expect(
          step.load(ordering: .acquiring) == (stays ? 3 : 4), "\(String(describing: monitor))")
      }
    }
  }

  /// On a thread of the VMM's, which may block.
  private func waitBriefly(_ limit: Duration = .seconds(60), for condition: () -> Bool) -> Bool {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
      if condition() { return true }
      usleep(5_000)
    }
    return false
  }

  @Test("What is no hybrid vsock address is not dialled")
  func otherAddress() async {
    let error = await failure(of: TransportAddress(place: .vsock(cid: 3, port: 1)))
    #expect(error?.attempts.first?.failure.outlook == .fatal)
  }

  @Test("Handlers that cannot be added end the dial, and the connection")
  func configureFails() async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket) { client in
      _ = client.readToEnd()
    } _: { muxer in
      await #expect(throws: TransportError.self) {
        try await HybridVsockConnector().connect(
          to: directory.address(), options: .patient()
        ) { _ in throw Failure(what: "no") }
      }
      try await eventually("the connection is closed") { muxer.ended == 1 }
    }
  }

  // MARK: Not a byte lost

  /// A reply with what a server that speaks first says at once, cut in two after every byte.
  @Test("What comes right behind the answer arrives whole, wherever it is cut", arguments: 0..<40)
  func serverFirst(round: Int) async throws {
    let directory = try TemporaryDirectory()
    let greeting = "SETTINGS of a server that speaks first, with a\nline feed in it\r\n"
    let reply = Array("OK \(UInt32.max - UInt32(round))\(round % 2 == 0 ? "\n" : "\r\n")".utf8)
    let whole = reply + Array(greeting.utf8)
    try await withMuxer(at: directory.socket) { client in
      _ = client.readLine()
      let cut = client.index % (whole.count + 1)
      client.write(whole[..<cut])
      // Some pieces are read apart, some together.
      if client.index % 3 == 0 { usleep(200) }
      client.write(whole[cut...])
    } _: { muxer in
      for _ in 0...whole.count {
        // Closing right behind it, the muxer takes nothing back either.
        var client = try await TextConnection.connect(to: directory.address())
        #expect(await client.readToEnd() == greeting)
      }
      #expect(muxer.accepted == whole.count + 1)
    }
  }

  @Test("What the protocol writes at once is not sent before the VMM has answered")
  func clientFirst() async throws {
    let directory = try TemporaryDirectory()
    let pieces = Mutex<[String]>([])
    try await withMuxer(at: directory.socket) { client in
      // Whatever came with the line is lost, as vhost-device-vsock's reader loses it.
      let first = client.read() ?? ""
      client.write("OK 1024\n")
      let rest = client.readToEnd()
      pieces.withLock { $0 = [first, rest] }
    } _: { muxer in
      let (_, continuation) = AsyncStream<String>.makeStream()
      let connection = try await HybridVsockConnector().connect(
        to: directory.address(), options: .patient()
      ) { channel in
        try channel.pipeline.syncOperations.addHandler(
          Incoming(continuation, greeting: " when active"))
        channel.writeAndFlush(ByteBuffer(string: "configured"), promise: nil)
      }
      try await connection.channel.writeAndFlush(ByteBuffer(string: " and later"))
      try await connection.channel.close()
      try await eventually("all is read") { muxer.ended == 1 }
    }
    #expect(pieces.withLock { $0 } == ["CONNECT 1024\n", "configured when active and later"])
  }
}
