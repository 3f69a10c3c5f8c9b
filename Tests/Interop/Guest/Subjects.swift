internal import CLinux
internal import Glibc
internal import Synchronization
internal import TransportConformance
internal import TransportCore
internal import VsockTransport

extension ConformanceSubject {
  /// AF_VSOCK within this machine.
  static var loopback: ConformanceSubject {
    let ports = Ports()
    var registry = TransportRegistry([VsockConnector()])
    registry.register(VsockListenerFactory())
    return ConformanceSubject(
      name: "vsock, loopback", registry: registry,
      peer: .listener { .vsock(cid: nil, port: ports.next()) }
    ) { subject in
      subject.dialled = { bound in
        guard case .vsock(nil, let port) = bound.place else { return bound }
        return .vsock(cid: 1, port: port)
      }
      // The default lets only the host in.
      subject.listenPolicy = .cids([1])
      subject.phases = [.connect, .identity]
      subject.identifiesDialer = { $0.vsock?.cid == 1 }
      subject.identifiesListener = { $0.vsock?.cid == 1 && ($0.vsock?.port ?? 0) >= Ports.first }
      subject.mute = { Mute(address: .mute) }
      subject.inherited = {
        // As a service manager would have bound it.
        let descriptor = clinux_vsock_socket()
        try check(descriptor, "socket")
        do {
          try check(clinux_vsock_bind(descriptor, CLINUX_VSOCK_ANY, ports.next()), "bind")
          try check(clinux_listen(descriptor, 128), "listen")
        } catch {
          close(descriptor)
          throw error
        }
        return try VsockListenerFactory().listen(adopting: descriptor)
      }
    }
  }

  /// AF_VSOCK from this guest to another one, through the host (VMADDR_FLAG_TO_HOST).
  static func sibling(_ cid: UInt32) -> ConformanceSubject {
    ConformanceSubject(
      name: "vsock, sibling \(cid)",
      registry: TransportRegistry([VsockConnector(reachesSiblings: true)]),
      peer: .running { greets in
        .vsock(cid: cid, port: greets ? Services.greetingConformance : Services.conformance)
      }
    ) { subject in
      subject.phases = [.connect, .identity]
      subject.identifiesListener = { $0.vsock?.cid == cid }
      // vhost-device-vsock does not hand an end of output on as such.
      subject.halfClose = []
      subject.absent = { .vsock(cid: cid, port: 9999) }
      subject.mute = { Mute(address: .mute) }
    }
  }

  private static func check(_ result: Int32, _ what: String) throws {
    guard result < 0 else { return }
    throw Failure(description: "\(what): errno \(-result)")
  }

  private struct Failure: Error, CustomStringConvertible { var description: String }
}

extension TransportAddress {
  static func vsock(cid: UInt32?, port: UInt32) -> TransportAddress {
    TransportAddress(place: .vsock(cid: cid, port: port))
  }

  /// The host's side of vhost-device-vsock, which says nothing when nobody listens there.
  static var mute: TransportAddress { .vsock(cid: 2, port: 9999) }
}

/// Ports that nobody else has.
private final class Ports: Sendable {
  static let first: UInt32 = 20_000
  private let last = Mutex(first - 1)

  func next() -> UInt32 {
    last.withLock { last in
      last += 1
      return last
    }
  }
}
