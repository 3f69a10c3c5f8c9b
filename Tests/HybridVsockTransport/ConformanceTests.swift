import DispatchSupport
import Glibc
import HybridVsockTransport
import Testing
import TransportConformance
import TransportCore

@Suite struct ConformanceTests {
  /// The two whose manners differ; Dragonball's are Firecracker's.
  private static let monitors = [HybridVsockMonitor.cloudHypervisor, .firecracker]

  private static func subject(
    _ vmm: HybridVsockMonitor, _ muxer: BridgingMuxer
  ) -> ConformanceSubject {
    var registry = TransportRegistry([HybridVsockConnector()])
    registry.register(HybridVsockListenerFactory())
    return ConformanceSubject(
      name: "hvsock, \(vmm)", registry: registry, peer: .listener { muxer.address() }
    ) {
      $0.halfClose = halfClose(vmm)
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

  private static func halfClose(_ vmm: HybridVsockMonitor) -> ConformanceSubject.HalfClose {
    vmm == .cloudHypervisor ? .both : []
  }

  /// Nothing but their names, since there is no muxer when they are listed.
  private static let cases: [(HybridVsockMonitor, String)] = monitors.flatMap { vmm in
    let like = ConformanceSubject(
      name: "hvsock", registry: TransportRegistry(),
      peer: .listener { throw Failure(what: "not run") }
    ) {
      $0.halfClose = halfClose(vmm)
      $0.mute = { throw Failure(what: "not run") }
    }
    return ConformanceCheck.all(for: like).map { (vmm, $0.name) }
  }

  @Test("Hybrid vsock conforms, through a VMM in another process", arguments: cases)
  func conforms(_ vmm: HybridVsockMonitor, _ name: String) async throws {
    let muxer = try await BridgingMuxer(vmm)
    let subject = Self.subject(vmm, muxer)
    for check in ConformanceCheck.all(for: subject) where check.name == name {
      try await check.run(against: subject)
    }
  }

  @Test("A lack of descriptors is survived, and none is left behind or to other programs")
  func alone() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for vmm in ConformanceTests.monitors {
          let muxer = try await BridgingMuxer(vmm)
          let subject = ConformanceTests.subject(vmm, muxer)
          for check in ConformanceCheck.alone(for: subject) {
            do {
              try await check.run(against: subject)
            } catch {
              // As a text: the error itself would not get out of the process.
              Issue.record("\(error)")
            }
          }
        }
      }
    }
  }
}
