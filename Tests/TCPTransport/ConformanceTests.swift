import DispatchSupport
import Glibc
import LinuxSystem
import TCPTransport
import Testing
import TransportConformance
import TransportCore

@Suite struct ConformanceTests {
  /// The ways to name a host. `v4` has an address of the loopback network to itself each time, so
  /// that ports never meet those of other tests.
  enum Kind: String, CaseIterable, Sendable {
    case v4, v6, name

    var host: String {
      switch self {
      case .v4: "127.\(UInt8.random(in: 1...254)).\(UInt8.random(in: 0 ... .max)).1"
      case .v6: "::1"
      case .name: "localhost"
      }
    }
  }

  private static func subject(_ kind: Kind) -> ConformanceSubject {
    var registry = TransportRegistry([TCPConnector()])
    registry.register(TCPListenerFactory())
    return ConformanceSubject(
      name: "tcp, \(kind)", registry: registry, peer: .listener { tcp(kind.host) }
    ) {
      // A bound address is a literal.
      if kind == .name { $0.dialled = { tcp(kind.host, $0.port) } }
      $0.phases = kind == .name ? [.resolve, .connect, .identity] : [.connect, .identity]
      $0.identifiesListener = { $0.network?.isLoopback == true && $0.network?.port != 0 }
      $0.identifiesDialer = $0.identifiesListener
      $0.absent = { tcp(kind.host, try freePort()) }
      $0.mute = {
        let server = try MuteServer(kind == .v6 ? "::1" : "127.0.0.1")
        return ConformanceSubject.Mute(address: tcp(server.host, server.address.port)) {
          withExtendedLifetime(server) {}
        }
      }
      $0.inherited = {
        try TCPListenerFactory().listen(adopting: try listeningSocket(v6: kind == .v6))
      }
    }
  }

  @Test(
    "TCP conforms, whatever its addresses are",
    arguments: Kind.allCases.flatMap { kind in
      ConformanceCheck.all(for: ConformanceTests.subject(kind)).map { (kind, $0) }
    })
  func conforms(_ kind: Kind, _ check: ConformanceCheck) async throws {
    try await check.run(against: Self.subject(kind))
  }

  @Test("A lack of descriptors is survived, and none is left behind or to other programs")
  func alone() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for kind in ConformanceTests.Kind.allCases {
          let subject = ConformanceTests.subject(kind)
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

/// A port that nobody has, below those that the kernel gives to whoever asks for any.
private func freePort() throws -> UInt16 {
  for _ in 0..<1000 {
    let port = UInt16.random(in: 10_000..<30_000)
    let isFree = try ["127.0.0.1", "::1"].allSatisfy { host in
      let descriptor = try unboundSocket(host)
      defer { close(descriptor) }
      return try bind(descriptor, host, port)
    }
    if isFree { return port }
  }
  throw Failure(what: "no free port")
}

/// A listening socket as a service manager would hand it over.
private func listeningSocket(v6: Bool) throws -> CInt {
  let host = v6 ? "::1" : "127.0.0.1"
  let descriptor = try unboundSocket(host)
  guard try bind(descriptor, host, 0), Glibc.listen(descriptor, 128) == 0 else {
    defer { close(descriptor) }
    throw SystemError.last("bind or listen")
  }
  return descriptor
}

private func unboundSocket(_ host: String) throws -> CInt {
  let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
  let made = socket(host.contains(":") ? AF_INET6 : AF_INET, kind, 0)
  guard made >= 0 else { throw SystemError.last("socket") }
  return made
}

private func bind(_ descriptor: CInt, _ host: String, _ port: UInt16) throws -> Bool {
  try #require(try InternetAddress.parse(host)).withSocketAddress(port: port) {
    Glibc.bind(descriptor, $0, $1) == 0
  }
}
