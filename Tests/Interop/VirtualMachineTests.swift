import Glibc
import HybridVsockTransport
import NIOCore
import Testing
import TransportConformance
import TransportCore

/// Guests with a real AF_VSOCK under QEMU, and vhost-device-vsock between them and the host: see
/// Peers/vm.
@Suite(.serialized, .guests)
struct VirtualMachineTests {
  @Test("What came from Debian forky is new enough")
  func versions() throws {
    let versions = try Guests.booted().machines.kit.versions
    let kernel = try #require(versions.keys.first { $0.hasPrefix("linux-") })
    for (package, least) in [
      ("qemu-system-x86", [11, 0]), ("vhost-device-vsock", [0, 3]), (kernel, [7, 0]),
    ] {
      let version = try #require(versions[package], "\(package) is missing in \(versions)")
      print("vm: \(package) \(version)")
      let numbers = VirtualMachineKit.numbers(version)
      #expect(!numbers.lexicographicallyPrecedes(least), "\(package) \(version)")
    }
  }

  @Test("A guest is waited for from before its VMM is there until it listens")
  func waitsUntilReady() throws {
    let guests = try Guests.booted()
    let dial = guests.dial
    print("vm: dialled \(dial.failures.count + 1) times in \(dial.took)")
    #expect(dial.heard.text == "late")
    let monitor = try #require(dial.heard.peer.monitor)
    #expect(monitor.process.uid == geteuid())
    #expect(monitor.assignedPort == GuestPort.late)
    // No socket, a stale one, a device without a driver; then a guest where nobody listens.
    let ways = dial.failures.map { BootStage($0) }
    #expect(Set(ways) == Set(BootStage.allCases), "\(dial.failures)")
    #expect(ways.first == .noSocket)
    #expect(ways.last == .noListener)
    #expect(dial.failures.allSatisfy { $0.outlook == .notReady })
  }

  private enum BootStage: CaseIterable {
    case noSocket, stale, noDriver, noListener

    init?(_ failure: AttemptFailure) {
      switch (failure.phase, failure.errno) {
      case (.connect, ENOENT): self = .noSocket
      case (.connect, ECONNREFUSED): self = .stale
      case (_, EPIPE), (_, ECONNRESET): self = .noDriver
      case (.handshake, 0): self = .noListener
      default: return nil
      }
    }
  }

  @Test("A guest that is ready says so to its host")
  func announces() throws {
    let guests = try Guests.booted()
    #expect(guests.announcement.text == "ready")
    let monitor = try #require(guests.announcement.peer.monitor)
    // The same daemon, which assigns no port when the guest dials.
    #expect(monitor.process == guests.dial.heard.peer.monitor?.process)
    #expect(monitor.assignedPort == nil)
    #expect(guests.announcement.peer.vsock == nil)
  }

  @Test("The guest knows its host as CID 2, and lets it in by default")
  func hostsCID() async throws {
    let server = try Guests.booted().server
    for port in [GuestPort.identifying, GuestPort.hostsAlone] {
      #expect(try await hear(server.address(port)).text == "cid 2")
    }
  }

  @Test("Not a byte is lost of a guest that speaks first, on 1,000 connections")
  func speaksFirst() async throws {
    let address = try Guests.booted().server.address(GuestPort.speakingFirst)
    let expected = ByteBuffer(
      bytes: (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
    var wrong = 0
    for round in 0..<1000 {
      let ear = Ear()
      let connection = try await HybridVsockConnector().connect(to: address) {
        try $0.pipeline.syncOperations.addHandler(EarHandler(ear))
      }
      try await eventually("connection \(round) brings \(expected.readableBytes) bytes") {
        ear.bytes.readableBytes >= expected.readableBytes || ear.hasEnded
      }
      if ear.bytes != expected { wrong += 1 }
      try await connection.channel.close()
    }
    #expect(wrong == 0)
  }

  // MARK: Conformance

  /// What the host checks, through vhost-device-vsock.
  private static func subject(_ server: VirtualMachine?) -> ConformanceSubject {
    ConformanceSubject(
      name: "hvsock, QEMU", registry: TransportRegistry([HybridVsockConnector()]),
      peer: .running { greets in
        try #require(server).address(
          greets ? GuestPort.greetingConformance : GuestPort.conformance)
      }
    ) { subject in
      subject.phases = [.connect, .identity, .handshake]
      subject.identifiesListener = { peer in
        peer.unix == nil && peer.monitor?.process.uid == geteuid()
          && [GuestPort.conformance, GuestPort.greetingConformance]
            .contains(peer.monitor?.assignedPort)
      }
      subject.halfClose = []
      subject.absent = { try #require(server).address(9999) }
      subject.patience = .seconds(120)
    }
  }

  private static let checks = ConformanceCheck.all(for: subject(nil))

  @Test("Hybrid vsock conforms, from the host to a guest", arguments: checks)
  func hostConforms(_ check: ConformanceCheck) async throws {
    try await check.run(against: Self.subject(try Guests.booted().server))
  }

  @Test("AF_VSOCK conforms, within a guest and to its sibling")
  func guestConforms() async throws {
    let guests = try Guests.booted()
    let status = try await guests.checked.value
    let lines = guests.checker.lines
    for line in lines where line.hasPrefix("FAILED ") { Issue.record("\(line)") }
    #expect(status == 0)
    for subject in ["loopback", "sibling:\(guests.server.cid)"] {
      let summary = try #require(
        lines.last { $0.hasPrefix("checks of \(subject): ") }, "\(guests.checker.console)")
      print("vm: \(summary)")
      let passed = lines.count { $0.hasPrefix("passed \(subject): ") }
      #expect(summary == "checks of \(subject): \(passed) passed, 0 failed")
      #expect(passed > 25)
    }
  }

  @Test("Guests are told apart by their CIDs, and only the host is let in by default")
  func peerCIDs() async throws {
    let guests = try Guests.booted()
    let (own, other) = (guests.checker.cid, "sibling:\(guests.server.cid)")
    let last = "own cid, where the host may connect, says: -"
    try await guests.checker.said(last)
    for line in [
      "is cid \(own)",
      "loopback, where anyone may connect, says: cid 1",
      "loopback, where the host may connect, says: -",
      "\(other), where anyone may connect, says: cid \(own)",
      "\(other), where the host may connect, says: -",
      "own cid, where anyone may connect, says: cid 1",
    ] {
      #expect(guests.checker.lines.contains(line), "\(guests.checker.lines)")
    }
  }

  @Test(
    "hawse in a guest calls Go's shim in its sibling over plain AF_VSOCK, by gRPC and by ttrpc",
    arguments: TransportAddress.RPCProtocol.allCases)
  func siblingCalls(_ rpc: TransportAddress.RPCProtocol) async throws {
    let checker = try Guests.booted().checker
    try await checker.said("\(rpc.rawValue) calls: done")
    let start = "\(rpc.rawValue): "
    let lines = checker.lines.filter { $0.hasPrefix(start) }
      .map { String($0.dropFirst(start.count)) }
    #expect(lines.filter { $0.hasPrefix("status ") } == Siblings.statuses, "\(lines)")
    for answer in Siblings.answers {
      #expect(lines.contains { $0.contains(answer) }, "\(answer): \(lines)")
    }
  }
}
