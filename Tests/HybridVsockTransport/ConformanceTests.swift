import Glibc
import HybridVsockTransport
import Testing
import TransportConformance
import TransportCore

@Suite struct ConformanceTests {
  private static func subject(_ muxer: BridgingMuxer) -> ConformanceSubject {
    var registry = TransportRegistry([HybridVsockConnector()])
    registry.register(HybridVsockListenerFactory())
    return ConformanceSubject(
      name: "hvsock", registry: registry, peer: .listener { muxer.address() }
    ) {
      $0.phases = [.connect, .identity, .handshake]
      // The VMM, which is not this process.
      $0.identifiesListener = { peer in
        guard let monitor = peer.monitor, peer.unix == nil else { return false }
        return monitor.process.uid == geteuid() && monitor.process.pid != getpid()
          && monitor.assignedPort == 1 << 30
      }
      $0.identifiesDialer = { peer in
        guard let monitor = peer.monitor, peer.unix == nil else { return false }
        return monitor.process.pid != getpid() && monitor.assignedPort == nil
      }
      $0.mute = { ConformanceSubject.Mute(address: muxer.mute) }
    }
  }

  /// Nothing but their names, since there is no muxer when they are listed.
  private static let names: [String] = {
    let registry = TransportRegistry()
    let like = ConformanceSubject(
      name: "hvsock", registry: registry, peer: .listener { throw Failure(what: "not run") }
    ) { $0.mute = { throw Failure(what: "not run") } }
    return ConformanceCheck.all(for: like).map(\.name)
  }()

  @Test("Hybrid vsock conforms, through a VMM in another process", arguments: names)
  func conforms(_ name: String) async throws {
    let muxer = try await BridgingMuxer()
    let subject = Self.subject(muxer)
    for check in ConformanceCheck.all(for: subject) where check.name == name {
      try await check.run(against: subject)
    }
  }

  @Test("A lack of descriptors is survived")
  func exhaustion() async {
    await #expect(processExitsWith: .success) {
      let muxer = try await BridgingMuxer()
      let subject = ConformanceTests.subject(muxer)
      for check in ConformanceCheck.alone(for: subject) { try await check.run(against: subject) }
    }
  }
}
