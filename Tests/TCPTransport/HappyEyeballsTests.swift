import Testing

@testable import TCPTransport

/// RFC 8305, step by step.
@Suite struct HappyEyeballsTests {
  // Literals of RFC 3849 and RFC 5737.
  private let v6 = Self.addresses(["2001:db8::1", "2001:db8::2"])
  private let v4 = Self.addresses(["192.0.2.1", "192.0.2.2"])

  private static func addresses(_ literals: [String]) -> [InternetAddress] {
    // They are literals, every one.
    literals.compactMap { try? InternetAddress.parse($0) }
  }

  private func machine() -> HappyEyeballs { HappyEyeballs(resolving: [.v6, .v4]) }

  @Test("IPv6 is tried as soon as it is known")
  func v6First() {
    var machine = machine()
    #expect(machine.resolved(.v6, v6) == [.connect(v6[0]), .startAttemptDelay(1)])
  }

  @Test("IPv4 waits a moment for IPv6, which then goes first")
  func v4Waits() {
    var machine = machine()
    #expect(machine.resolved(.v4, v4) == [.startResolutionDelay])
    #expect(machine.resolved(.v6, v6) == [.connect(v6[0]), .startAttemptDelay(1)])
    #expect(machine.resolutionDelayPassed() == [])
  }

  @Test("IPv4 goes alone when IPv6 is not known in time, and IPv6 joins it")
  func v4Alone() {
    var machine = machine()
    #expect(machine.resolved(.v4, v4) == [.startResolutionDelay])
    #expect(machine.resolutionDelayPassed() == [.connect(v4[0]), .startAttemptDelay(1)])
    #expect(machine.resolved(.v6, v6) == [])
    #expect(machine.attemptDelayPassed(1) == [.connect(v6[0]), .startAttemptDelay(2)])
  }

  @Test("A family without addresses holds nobody up")
  func emptyFamilies() {
    var first = machine()
    #expect(first.resolved(.v6, []) == [])
    #expect(first.resolved(.v4, v4) == [.connect(v4[0]), .startAttemptDelay(1)])
    var second = machine()
    #expect(second.resolved(.v4, v4) == [.startResolutionDelay])
    #expect(second.resolved(.v6, []) == [.connect(v4[0]), .startAttemptDelay(1)])
    var third = machine()
    #expect(third.resolved(.v4, []) == [])
    #expect(third.resolved(.v6, v6) == [.connect(v6[0]), .startAttemptDelay(1)])
    var none = machine()
    #expect(none.resolved(.v6, []) == [])
    #expect(none.resolved(.v4, []) == [.giveUp])
  }

  @Test("The families take turns, each try with its time to itself")
  func turns() {
    var machine = machine()
    _ = machine.resolved(.v6, v6)
    #expect(machine.resolved(.v4, v4) == [])
    #expect(machine.attemptDelayPassed(1) == [.connect(v4[0]), .startAttemptDelay(2)])
    #expect(machine.attemptDelayPassed(2) == [.connect(v6[1]), .startAttemptDelay(3)])
    #expect(machine.attemptDelayPassed(3) == [.connect(v4[1]), .startAttemptDelay(4)])
    #expect(machine.attemptDelayPassed(4) == [])
  }

  @Test("A try that fails is followed at once, and its delay means nothing any more")
  func failures() {
    var machine = machine()
    _ = machine.resolved(.v6, v6)
    _ = machine.resolved(.v4, v4)
    #expect(machine.attemptFailed() == [.connect(v4[0]), .startAttemptDelay(2)])
    #expect(machine.attemptDelayPassed(1) == [])
    #expect(machine.attemptFailed() == [.connect(v6[1]), .startAttemptDelay(3)])
    #expect(machine.attemptFailed() == [.connect(v4[1]), .startAttemptDelay(4)])
    #expect(machine.attemptFailed() == [.giveUp])
  }

  @Test("It gives up only when the last of several tries has failed")
  func lastFailure() {
    var machine = machine()
    _ = machine.resolved(.v6, [v6[0]])
    _ = machine.resolved(.v4, [v4[0]])
    _ = machine.attemptDelayPassed(1)
    #expect(machine.attemptFailed() == [])
    #expect(machine.attemptFailed() == [.giveUp])
  }

  @Test("Addresses that come when all others have failed are tried at once")
  func lateAddresses() {
    var machine = machine()
    _ = machine.resolved(.v6, [v6[0]])
    #expect(machine.attemptFailed() == [])
    #expect(machine.resolved(.v4, v4) == [.connect(v4[0]), .startAttemptDelay(2)])
  }

  @Test("Addresses that come when the last try has had its time are tried at once")
  func lateButDue() {
    var machine = machine()
    _ = machine.resolved(.v6, [v6[0]])
    #expect(machine.attemptDelayPassed(1) == [])
    #expect(machine.resolved(.v4, v4) == [.connect(v4[0]), .startAttemptDelay(2)])
  }

  @Test("A name with any number of addresses is tried at some of them")
  func bounded() {
    var machine = HappyEyeballs(resolving: [.v4])
    _ = machine.resolved(.v4, Self.addresses((1...200).map { "192.0.2.\($0)" }))
    var tries = 1
    while machine.attemptFailed() != [.giveUp] { tries += 1 }
    #expect(tries == HappyEyeballs.limit)
  }
}

@Suite struct InternetAddressTests {
  @Test(
    "A literal is read, printed and told from a name",
    arguments: [
      ("127.0.0.1", "127.0.0.1", true), ("127.8.9.10", "127.8.9.10", true),
      ("192.0.2.1", "192.0.2.1", false), ("0.0.0.0", "0.0.0.0", false),
      ("::1", "::1", true), ("0:0:0:0:0:0:0:1", "::1", true), ("::", "::", false),
      ("2001:DB8::1", "2001:db8::1", false), ("::ffff:127.0.0.1", "127.0.0.1", true),
      ("::ffff:192.0.2.1", "192.0.2.1", false), ("fe80::1%lo", "fe80::1%lo", false),
      ("fe80::1%1", "fe80::1%lo", false),
    ])
  func literals(literal: String, printed: String, isLoopback: Bool) throws {
    let address = try #require(try InternetAddress.parse(literal))
    #expect(address.description == printed)
    #expect(address.isLoopback == isLoopback)
    let again = address.withSocketAddress(port: 9443) { generic, _ in InternetAddress(generic) }
    #expect(again == address)
  }

  @Test("A name is no literal", arguments: ["localhost", "build-7", "127.0.0", "", "::g"])
  func names(name: String) throws {
    #expect(try InternetAddress.parse(name) == nil)
  }

  @Test("A zone that is no interface of this machine's is told")
  func unknownZone() {
    #expect(throws: InternetAddress.UnknownZone.self) {
      try InternetAddress.parse("fe80::1%no-such-interface")
    }
  }
}
