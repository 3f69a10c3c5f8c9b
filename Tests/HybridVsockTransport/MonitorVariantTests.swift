import Glibc
import HybridVsockTransport
import Synchronization
import Testing
import TransportCore

/// How the VMMs differ, each difference as a script. The sources are those of Firecracker 1.12 and
/// Cloud Hypervisor 48 (`vsock/unix/muxer.rs`), and vhost-device-vsock 0.3 as it was seen to behave.
enum Variant: String, CaseIterable, CustomTestStringConvertible, Sendable {
  case firecracker, cloudHypervisor, dragonball, vhostDeviceVsock

  var testDescription: String { rawValue }

  /// The command as this VMM takes it from the socket; nil when it drops the connection for it.
  func readCommand(_ client: ScriptedMuxer.Client) -> String? {
    let line: String
    switch self {
    case .cloudHypervisor:
      // A line in two pieces is put together.
      line = client.readLine() + "\n"
    case .firecracker, .dragonball:
      // Byte by byte to the line feed, and what is not there at once never was.
      client.waitForBytes()
      var all = ""
      while !all.hasSuffix("\n"), let byte = client.read(upTo: 1, waits: false) { all += byte }
      line = all
    case .vhostDeviceVsock:
      // A buffer's worth; what is behind the line is gone.
      let all = client.read() ?? ""
      line = all.firstIndex(of: "\n").map { String(all[...$0]) } ?? all
    }
    guard line.hasSuffix("\n"), let end = line.firstIndex(of: "\n") else { return nil }
    let words = line[..<end].split(separator: " ")
    guard words.count == 2, words[0].lowercased() == "connect" else { return nil }
    return String(words[1])
  }

  /// What it answers when the guest has accepted.
  func answer(port: String, index: Int) -> String {
    self == .vhostDeviceVsock ? "OK \(port)\n" : "OK \(1_073_741_824 + index)\n"
  }

  /// A VM whose guest echoes at port 1024.
  func serve(_ client: ScriptedMuxer.Client) {
    guard let port = readCommand(client), port == "1024" else { return }
    client.write(answer(port: port, index: client.index))
    while let text = client.read() { client.write(text) }
  }
}

@Suite struct MonitorVariantTests {
  @Test("Each takes our line, which comes in one piece and alone", arguments: Variant.allCases)
  func command(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket, variant.serve) { _ in
      for _ in 0..<50 {
        var client = try await TextConnection.connect(to: directory.address(), greeting: "payload")
        #expect(await client.read(7) == "payload")
        await client.close()
      }
    }
  }

  @Test("The number in the answer is passed on, whatever it means", arguments: Variant.allCases)
  func assignedPort(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket, variant.serve) { _ in
      for index in 0..<3 {
        let client = try await TextConnection.connect(to: directory.address())
        #expect(
          client.connection.peer.monitor?.assignedPort
            == (variant == .vhostDeviceVsock ? 1024 : 1_073_741_824 + UInt32(index)))
        await client.close()
      }
    }
  }

  @Test("Nobody listening at the port means: not yet", arguments: Variant.allCases)
  func nobodyListens(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    try await withMuxer(at: directory.socket, variant.serve) { _ in
      let error = await failure(of: directory.address(1025))
      let failure = error?.attempts.first?.failure
      #expect(failure?.phase == .handshake)
      #expect(failure?.errno == 0)
      #expect(failure?.outlook == .notReady)
      #expect(failure?.message.contains("nobody listens at port 1025 in the guest") == true)
    }
  }

  @Test(
    "A guest without its driver is a request that the VMM kills after its time",
    arguments: [Variant.firecracker, .cloudHypervisor, .dragonball])
  func killed(variant: Variant) async throws {
    let directory = try TemporaryDirectory()
    let isBooted = Atomic(false)
    try await withMuxer(at: directory.socket) { client in
      guard !isBooted.load(ordering: .acquiring) else { return variant.serve(client) }
      _ = variant.readCommand(client)
      // CONN_REQUEST_TIMEOUT_MS
      sleep(2)
      isBooted.store(true, ordering: .releasing)
    } _: { muxer in
      var client = try await TextConnection.connect(
        to: directory.address(), .patient(mode: .waitUntilReady()), greeting: "x")
      #expect(await client.read(1) == "x")
      #expect(muxer.accepted == 2)
      await client.close()
    }
  }

  @Test("vhost-device-vsock takes connections and drops them while there is no driver or no VMM")
  func dropped() async throws {
    let directory = try TemporaryDirectory()
    let isClosed = Atomic(false)
    // The dialer's policy is asked between its connect and its write: it holds that back until the
    // socket is closed (EPIPE), or not at all, and the muxer closes with the line unread (ECONNRESET).
    let late = PeerPolicy(name: "late") { _ in
      for _ in 0..<30_000 where !isClosed.load(ordering: .acquiring) { usleep(1000) }
      return true
    }
    try await withMuxer(at: directory.socket) { client in
      if client.index == 0 {
        shutdown(client.descriptor, Int32(SHUT_RDWR))
        isClosed.store(true, ordering: .releasing)
      } else {
        client.waitForBytes()
      }
    } _: { _ in
      for (errno, policy) in [(EPIPE, late), (ECONNRESET, .sameUser)] {
        let error = await failure(of: directory.address(), .patient(policy: policy))
        let failure = error?.attempts.first?.failure
        #expect(failure?.phase == .handshake)
        #expect(failure?.errno == errno)
        #expect(failure?.outlook == .notReady)
        #expect(failure?.message.contains("the guest's driver is not up yet") == true)
      }
    }
  }

  // In a process of its own, with descriptors enough for both sides.
  @Test("A VMM with 1023 connections drops the next, which waits until one is free")
  func tooMany() async {
    await #expect(processExitsWith: .success) {
      var limit = rlimit(rlim_cur: 4096, rlim_max: 4096)
      #expect(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
      for variant in [Variant.firecracker, .cloudHypervisor, .dragonball] {
        let directory = try TemporaryDirectory()
        let open = Mutex(0)
        try await withMuxer(at: directory.socket) { client in
          let isRoom = open.withLock { open in
            guard open < 1023 else { return false }
            open += 1
            return true
          }
          guard isRoom else { return }
          variant.serve(client)
          open.withLock { $0 -= 1 }
        } _: { muxer in
          var clients: [TextConnection] = []
          for _ in 0..<1023 {
            clients.append(try await TextConnection.connect(to: directory.address()))
          }
          let error = await failure(of: directory.address())
          #expect(error?.attempts.first?.failure.outlook == .notReady)
          let waiting = Task {
            try await TextConnection.connect(
              to: directory.address(), .patient(mode: .waitUntilReady()), greeting: "in")
          }
          try await eventually("it was dropped, too") { muxer.accepted >= 1025 }
          for client in clients.prefix(1) { await client.close() }
          var last = try await waiting.value
          #expect(await last.read(2) == "in")
          for client in clients + [last] { await client.close() }
        }
      }
    }
  }
}
