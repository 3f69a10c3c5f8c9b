internal import Synchronization
internal import TransportConformance
internal import TransportCore
internal import VsockTransport

/// What a guest can check.
enum Subject: CustomStringConvertible {
  /// `loopback`: AF_VSOCK within this machine, with listeners in this process.
  case loopback
  /// `sibling:42`: AF_VSOCK to another guest, one that serves.
  case sibling(UInt32)

  init?(_ word: String) {
    let parts = word.split(separator: ":", omittingEmptySubsequences: false)
    switch (parts.first, parts.count) {
    case ("loopback", 1): self = .loopback
    case ("sibling", 2):
      guard let cid = UInt32(parts[1]) else { return nil }
      self = .sibling(cid)
    default: return nil
    }
  }

  var description: String {
    switch self {
    case .loopback: "loopback"
    case .sibling(let cid): "sibling:\(cid)"
    }
  }

  /// A port of the machine that the subject reaches.
  func address(_ port: UInt32) -> TransportAddress {
    switch self {
    case .loopback: TransportAddress(place: .vsock(cid: 1, port: port))
    case .sibling(let cid): Self.sibling(cid, port)
    }
  }

  var conformance: ConformanceSubject {
    switch self {
    case .loopback: Self.withinThisMachine
    case .sibling(let cid): Self.withSibling(cid)
    }
  }

  private static func sibling(_ cid: UInt32, _ port: UInt32) -> TransportAddress {
    TransportAddress(
      place: .vsock(cid: cid, port: port), parameters: [.init("sibling", "yes")])
  }

  /// The host's side of vhost-device-vsock, which says nothing when nobody listens there.
  private static let mute = TransportAddress(place: .vsock(cid: 2, port: 9999))
}

extension Subject {
  private static var withinThisMachine: ConformanceSubject {
    let ports = Ports()
    var registry = TransportRegistry([VsockConnector()])
    registry.register(VsockListenerFactory())
    return ConformanceSubject(
      name: "vsock, loopback", registry: registry,
      peer: .listener { TransportAddress(place: .vsock(cid: nil, port: ports.next())) }
    ) { subject in
      subject.dialled = { bound in
        guard case .vsock(nil, let port) = bound.place else { return bound }
        return TransportAddress(place: .vsock(cid: 1, port: port))
      }
      // The default lets only the host in.
      subject.listenPolicy = .cids([1])
      subject.phases = [.connect, .identity]
      subject.identifiesDialer = { $0.vsock?.cid == 1 }
      subject.identifiesListener = { $0.vsock?.cid == 1 && ($0.vsock?.port ?? 0) >= Ports.first }
      subject.mute = { .init(address: mute) }
      subject.inherited = { try VsockListenerFactory().listen(onBound: ports.next()) }
    }
  }

  private static func withSibling(_ cid: UInt32) -> ConformanceSubject {
    ConformanceSubject(
      name: "vsock, sibling \(cid)", registry: TransportRegistry([SmallPackets.Connector()]),
      peer: .running { greets in
        sibling(cid, greets ? Services.siblingsGreeting : Services.siblings)
      }
    ) { subject in
      subject.phases = [.connect, .identity]
      subject.identifiesListener = { $0.vsock?.cid == cid }
      // vhost-device-vsock does not hand an end of output on as such.
      subject.halfClose = []
      // So little is that Linux and NIO hold back sooner.
      subject.mostOnTheWay = 1 << 20
      subject.mostExchanged = 1 << 20
      subject.patience = .seconds(240)
      subject.absent = { sibling(cid, 9999) }
      subject.mute = { .init(address: mute) }
    }
  }
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
