import DispatchSupport
import FileDescriptorTransport
import Glibc
import NIOCore
import TCPTransport
import Testing
import TransportConformance
import TransportCore
import UnixTransport

@Suite struct ConformanceTests {
  /// The sockets that are inherited.
  enum Kind: String, CaseIterable, Sendable { case unix, tcp }

  // MARK: Connections

  private static let connectionCases: [(Kind, String)] = Kind.allCases.flatMap { kind in
    ConformanceCheck.all(for: InheritedPairs(kind).subject).map { (kind, $0.name) }
  }

  @Test("Connected sockets conform that were inherited", arguments: connectionCases)
  func connections(_ kind: Kind, _ name: String) async throws {
    let subject = InheritedPairs(kind).subject
    try await Made.$isPrivate.withValue(true) {
      for check in ConformanceCheck.all(for: subject) where check.name == name {
        try await check.run(against: subject)
      }
    }
  }

  // MARK: Listeners

  private static func listeners(_ kind: Kind) -> ConformanceSubject {
    let ledger = DescriptorLedger()
    var registry = TransportRegistry([UnixConnector(), TCPConnector()])
    registry.register(FileDescriptorListenerFactory(ledger: ledger))
    // Those find addresses taken.
    registry.register(UnixListenerFactory())
    registry.register(TCPListenerFactory())
    return ConformanceSubject(
      name: "fd, listening, \(kind)", registry: registry,
      peer: .listener {
        let descriptor =
          switch kind {
          case .unix: try Made.unixListener().descriptor
          case .tcp: try Made.tcpListener(INADDR_LOOPBACK).descriptor
          }
        ledger.receive(descriptor)
        return .descriptor(descriptor)
      }
    ) {
      $0.canBeAbsent = false
      $0.phases = [.connect, .identity]
      switch kind {
      case .unix: $0.identifiesDialer = { $0.unix?.pid == getpid() }
      case .tcp: $0.identifiesDialer = { $0.network?.isLoopback == true }
      }
    }
  }

  private static let listenerCases: [(Kind, String)] = Kind.allCases.flatMap { kind in
    ConformanceCheck.all(for: listeners(kind)).map { (kind, $0.name) }
  }

  @Test("Listening sockets conform that were inherited", arguments: listenerCases)
  func listeners(_ kind: Kind, _ name: String) async throws {
    let subject = Self.listeners(kind)
    try await Made.$isPrivate.withValue(true) {
      for check in ConformanceCheck.all(for: subject) where check.name == name {
        try await check.run(against: subject)
      }
    }
  }

  @Test("A lack of descriptors is survived, and none is left behind or to other programs")
  func alone() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        for kind in ConformanceTests.Kind.allCases {
          for subject in [InheritedPairs(kind).subject, ConformanceTests.listeners(kind)] {
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
}

/// Connected sockets as a parent would hand them over, with both of their ends adopted: one is
/// dialled, a conformance server has the other.
private final class InheritedPairs: Sendable {
  private let kind: ConformanceTests.Kind
  private let dialled = DescriptorLedger()
  private let served = DescriptorLedger()
  private let silent = ConformanceServer()
  private let greeting = ConformanceServer(greets: true)

  init(_ kind: ConformanceTests.Kind) { self.kind = kind }

  var subject: ConformanceSubject {
    let dialer = FileDescriptorConnector(ledger: dialled)
    return ConformanceSubject(
      name: "fd, \(kind)", registry: TransportRegistry([dialer]),
      peer: .running { try await self.address(greets: $0) }
    ) {
      $0.canBeAbsent = false
      // They are there before the connection is.
      $0.usesDescriptors = false
      $0.phases = [.connect, .identity]
      switch self.kind {
      case .unix: $0.identifiesListener = { $0.unix?.pid == getpid() }
      case .tcp: $0.identifiesListener = { $0.network?.isLoopback == true }
      }
      $0.discard = { address in
        // It fails when the connect was cancelled after it had begun: nothing is left then.
        let connection = try? await dialer.connect(to: address, options: .patient()) { _ in }
        connection?.channel.close(promise: nil)
      }
    }
  }

  private func address(greets: Bool) async throws -> TransportAddress {
    let (ours, theirs) = try kind == .unix ? Made.pair() : Made.tcpPair()
    dialled.receive(ours)
    served.receive(theirs)
    let server = greets ? greeting : silent
    let connection = try await FileDescriptorConnector(ledger: served).connect(
      to: .descriptor(theirs), options: .patient(), configure: server.configure)
    Task {
      await server.serve(connection)
      connection.channel.close(promise: nil)
    }
    return .descriptor(ours)
  }
}

extension Made {
  fileprivate static func tcpPair() throws -> (Int32, Int32) {
    let (listener, address) = try tcpListener(INADDR_LOOPBACK)
    defer { close(listener) }
    let ours = try tcpConnection(to: address)
    return (ours, try accepted(listener))
  }
}
