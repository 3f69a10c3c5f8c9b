import DispatchSupport
import Glibc
import TCPTransport
import TLSTransport
import Testing
import TransportConformance
import TransportCore
import UnixTransport

@Suite struct ConformanceTests {
  private static let pki: Result<TestPKI, any Error> = Result { try TestPKI() }

  enum Beneath: String, CaseIterable {
    case unix, tcp
  }

  /// TLS with certificates on both sides.
  private static func subject(_ beneath: Beneath) throws -> ConformanceSubject {
    let pki = try pki.get()
    var registry = TransportRegistry()
    registry.register(UnixConnector())
    registry.register(UnixListenerFactory())
    registry.register(TCPConnector())
    registry.register(TCPListenerFactory())
    registry.register(TLSLayer(client: pki.client(), server: pki.server()))
    let place = { @Sendable () -> TransportAddress.Place in
      beneath == .unix
        ? .abstract(name: "hawsepipe-tls-\(UInt64.random(in: 0...UInt64.max))")
        : .tcp(host: "127.0.0.1", port: freePort())
    }
    let plain = registry
    return ConformanceSubject(
      name: "tls over \(beneath)", registry: registry,
      peer: .listener { TransportAddress(layers: ["tls"], place: place()) }
    ) {
      $0.phases = [.connect, .tls, .identity]
      $0.identifiesListener = { $0.tls?.dnsNames == ["build-7.example"] }
      $0.identifiesDialer = { $0.tls?.uris == ["spiffe://example.org/client"] }
      $0.mute = {
        // Who connects waits in its backlog, and the handshake for an answer.
        let listener = try await plain.listen(
          at: TransportAddress(place: place()), options: ListenOptions())
        return ConformanceSubject.Mute(
          address: TransportAddress(layers: ["tls"], place: listener.boundAddress.place)
        ) { listener.close() }
      }
    }
  }

  /// A port of loopback's that nobody listens at.
  private static func freePort() -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    // What fails here leaves port 0, which no check takes.
    withUnsafeMutableBytes(of: &address) { bytes in
      let pointer = bytes.assumingMemoryBound(to: sockaddr.self).baseAddress
      if let pointer, bind(descriptor, pointer, size) == 0 {
        getsockname(descriptor, pointer, &size)
      }
    }
    return UInt16(bigEndian: address.sin_port)
  }

  private static let checks: [(Beneath, ConformanceCheck)] = Beneath.allCases.flatMap { beneath in
    // Without a CA there is nothing to check, which the one test below says.
    (try? subject(beneath)).map { ConformanceCheck.all(for: $0) }?.map { (beneath, $0) } ?? []
  }

  @Test("TLS conforms, over unix sockets and over tcp", arguments: checks)
  func conforms(_ beneath: Beneath, _ check: ConformanceCheck) async throws {
    try await check.run(against: try Self.subject(beneath))
  }

  @Test("A lack of descriptors is survived, and none is left behind or to other programs")
  func exhaustion() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for beneath in Beneath.allCases {
          let subject = try ConformanceTests.subject(beneath)
          for check in ConformanceCheck.alone(for: subject) {
            do {
              try await check.run(against: subject)
            } catch {
              // As a text: the error itself would not get out of the process.
              Issue.record("\(beneath): \(error)")
            }
          }
        }
      }
    }
  }

  @Test("There are checks to run", arguments: Beneath.allCases)
  func any(_ beneath: Beneath) throws {
    #expect(!ConformanceCheck.all(for: try Self.subject(beneath)).isEmpty)
  }
}
