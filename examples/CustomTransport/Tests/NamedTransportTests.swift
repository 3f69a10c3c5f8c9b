import Glibc
import NIOCore
import NamedTransport
import Testing
import TransportConformance
import TransportCore
import UnixTransport

extension TransportRegistry {
  static var named: TransportRegistry {
    var registry = TransportRegistry([NamedConnector()])
    registry.register(NamedListenerFactory())
    return registry
  }
}

extension ConformanceSubject {
  static let named = ConformanceSubject(
    name: "named", registry: .named,
    peer: .listener { try TransportRegistry.named.parse("named://\(freshPath()):agent") }
  ) {
    $0.phases = [.connect, .identity, .handshake]
    $0.identifiesListener = { $0.unix?.pid == getpid() }
    $0.identifiesDialer = { $0.unix?.pid == getpid() }
    $0.mute = { try await .takesAndSaysNothing() }
  }
}

private func freshPath() -> String { "/tmp/hawsepipe-named-\(UInt64.random(in: 0...UInt64.max))" }

extension ConformanceSubject.Mute {
  /// The unix socket alone, without the service that answers to names.
  fileprivate static func takesAndSaysNothing() async throws -> Self {
    let path = freshPath()
    let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
    let running = Task {
      try await listener.run { _ in
      } onConnection: { connection in
        // However it ended, it ended.
        try? await connection.channel.closeFuture.get()
      }
    }
    return Self(address: try TransportRegistry.named.parse("named://\(path):agent")) {
      running.cancel()
      _ = await running.result
    }
  }
}

@Suite struct NamedTransportTests {
  @Test("It does what every transport must", arguments: ConformanceCheck.all(for: .named))
  func conforms(_ check: ConformanceCheck) async throws {
    try await check.run(against: .named)
  }

  @Test("It survives a lack of descriptors, and leaves none behind")
  func alone() async {
    await #expect(processExitsWith: .success) {
      for check in ConformanceCheck.alone(for: .named) {
        do {
          try await check.run(against: .named)
        } catch {
          // As a text: the error itself would not get out of the process.
          Issue.record("\(error)")
        }
      }
    }
  }

  @Test("A name that nobody serves is an error that says so, and may be served later")
  func otherName() async throws {
    let registry = TransportRegistry.named
    let path = freshPath()
    let listener = try await registry.listen(at: try registry.parse("named://\(path):agent"))
    let running = Task {
      try await listener.run { _ in
      } onConnection: { _ in
      }
    }
    let error = await #expect(throws: TransportError.self) {
      try await registry.connect(to: try registry.parse("named://\(path):other")) { _ in }
    }
    #expect(error?.attempts.first?.failure.phase == .handshake)
    #expect(error?.attempts.first?.failure.outlook == .notReady)
    #expect(error?.description.contains("nobody serves the name \"other\"") == true)
    running.cancel()
    try await running.value
    #expect(listener.statistics.failed == 1)
  }

  @Test(
    "A place that makes no sense is an error that says how to write one",
    arguments: ["/x", "x:agent", "/x:", "/x:a_b"])
  func places(_ place: String) async throws {
    let address = try TransportRegistry.named.parse("named://\(place)")
    let error = await #expect(throws: TransportError.self) {
      try await TransportRegistry.named.connect(to: address) { _ in }
    }
    #expect(error?.hint?.contains("named:///path/of/socket:name") == true)
  }
}
