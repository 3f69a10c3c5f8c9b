import CLinux
import DispatchSupport
import Glibc
import NIOCore
import Testing
import TransportConformance
import TransportCore
import UnixTransport

@Suite struct ConformanceTests {
  /// The ways to name a unix socket.
  enum Kind: String, CaseIterable, Sendable { case path, longPath, abstract }

  private static func subject(_ kind: Kind, in directory: TemporaryDirectory) -> ConformanceSubject
  {
    var registry = TransportRegistry([UnixConnector()])
    registry.register(UnixListenerFactory())
    let address = { @Sendable () -> TransportAddress in
      let name = String(UInt64.random(in: 0...UInt64.max))
      switch kind {
      case .path: return directory.address(name)
      case .longPath: return directory.address(String(repeating: "d", count: 200) + "/" + name)
      case .abstract: return uniqueAbstract()
      }
    }
    return ConformanceSubject(
      name: "unix, \(kind)", registry: registry, peer: .listener(address: address)
    ) {
      $0.phases = [.connect, .identity]
      $0.identifiesListener = { $0.unix?.pid == getpid() && $0.unix?.uid == geteuid() }
      $0.identifiesDialer = $0.identifiesListener
      $0.mute = { try await .fullBacklog(at: address()) }
      $0.inherited = { try UnixListener(adopting: listeningSocket(uniqueAbstract())) }
    }
  }

  private static let cases: [(Kind, String)] = {
    // Listed only; what runs has a directory of its own.
    let like = ConformanceSubject(
      name: "unix", registry: TransportRegistry(), peer: .listener { uniqueAbstract() }
    ) {
      $0.mute = { throw Failure(what: "not run") }
      $0.inherited = { throw Failure(what: "not run") }
    }
    return Kind.allCases.flatMap { kind in
      ConformanceCheck.all(for: like).map { (kind, $0.name) }
    }
  }()

  @Test("Unix sockets conform, whatever their names are", arguments: cases)
  func conforms(_ kind: Kind, _ name: String) async throws {
    let subject = Self.subject(kind, in: try TemporaryDirectory())
    for check in ConformanceCheck.all(for: subject) where check.name == name {
      try await check.run(against: subject)
    }
  }

  @Test("A lack of descriptors is survived")
  func exhaustion() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for kind in Kind.allCases {
          let subject = ConformanceTests.subject(kind, in: try TemporaryDirectory())
          for check in ConformanceCheck.alone(for: subject) {
            do {
              try await check.run(against: subject)
            } catch {
              // As a text: the error itself would not get out of the process.
              Issue.record("\(kind): \(error)")
            }
          }
        }
      }
    }
  }
}

extension ConformanceSubject.Mute {
  /// A listener that accepts nobody, and whose backlog has no place left.
  fileprivate static func fullBacklog(at address: TransportAddress) async throws -> Self {
    let listener = try UnixListener(bindingTo: address, options: .init(backlog: 0))
    // One fits in.
    let waiting = try await TextConnection.connect(to: address)
    return Self(address: address) {
      listener.close()
      waiting.connection.channel.close(promise: nil)
    }
  }
}

/// A listening socket as a service manager would hand it over.
private func listeningSocket(_ address: TransportAddress) throws -> CInt {
  guard case .abstract(let name) = address.place else { throw Failure(what: "not abstract") }
  let descriptor = clinux_unix_socket()
  guard clinux_unix_bind(descriptor, name, name.utf8.count, true) == 0,
    clinux_listen(descriptor, 128) == 0
  else {
    close(descriptor)
    throw Failure(what: "no listening socket")
  }
  return descriptor
}
