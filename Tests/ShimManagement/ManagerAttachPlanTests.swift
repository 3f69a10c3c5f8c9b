import ShimProtocol
import ShimTestKit
import Testing
import TransportCore

@testable import ShimManagement

@Suite("What an attach request comes to")
struct ManagerAttachPlanTests {
  /// The ways that are open, by what is known and what the caller chose.
  @Test(
    "a mode that fits the version is carried out",
    arguments: [
      (AttachMode.version3, Source.recorded(3), AttachPlan.Way.attach, 3),
      (.version2, .recorded(2), .attach, 2),
      (.throughBinary, .recorded(2), .runBinary, 2),
      (.throughBinary, .recorded(3), .runBinary, 3),
      (.version3, .given("ttrpc", 3), .attach, 3),
      (.version3, .given("grpc", 3), .attach, 3),
      (.version2, .given("ttrpc", 2), .attach, 2),
      (.throughBinary, .given("ttrpc", 3), .runBinary, 3),
    ])
  func fits(_ mode: AttachMode, _ source: Source, _ way: AttachPlan.Way, _ version: Int) throws {
    let plan = try source.plan(mode)
    #expect(plan.way == way)
    #expect(plan.params.version == version)
    #expect(plan.params.address == "unix:///run/s.sock")
    #expect(plan.params.protocolName == source.protocolName)
  }

  @Test(
    "what does not fit is an error that says what to do instead",
    arguments: [
      (
        AttachMode.version3, Source.recorded(2),
        [
          "sandbox pod", "unix:///run/s.sock", "version 2", "Attach as v2",
          "through the shim binary",
        ]
      ),
      (.version2, .recorded(3), ["sandbox pod", "as version 2", "say version 3", "Attach as v3"]),
      (.version3, .given("ttrpc", 2), ["version 2", "does not promise", "Attach as v2"]),
      (.version2, .given("ttrpc", 3), ["as version 2", "version 3"]),
      (.version3, .given(nil, 3), ["does not say which protocol", "ttrpc+unix:///run/s.sock"]),
      (.version2, .given("grpc", 2), ["over ttrpc only", "Name version 3, or a ttrpc address"]),
      (.version3, .given("ttrpc", 1), ["no version 1", "Name version 3, or 2"]),
      (.version3, .given("ttrpc", 4), ["no version 4"]),
      (.throughBinary, .given("ttrpc", 0), ["no version 0"]),
      (.throughBinary, .given("grpc", 2), ["over ttrpc only"]),
    ])
  func doesNotFit(_ mode: AttachMode, _ source: Source, _ essentials: [String]) {
    let error = failure { _ = try source.plan(mode) }
    #expect(error?.code == .attachFailed)
    let text = error?.description ?? ""
    for essential in essentials { #expect(text.contains(essential), "\(text)") }
  }

  @Test(
    "without an address and without a bundle there is no sandbox", arguments: AttachMode.allCases)
  func nothingKnown(_ mode: AttachMode) {
    let error = failure {
      _ = try AttachPlan(sandbox: "pod", mode: mode, given: nil, recorded: nil)
    }
    #expect(error?.code == .sandboxNotFound)
    #expect(error?.description.contains("hawse sandbox run") == true)
  }

  @Test("an address that the caller names wins over the recorded one")
  func givenWins() throws {
    let plan = try AttachPlan(
      sandbox: "pod", mode: .version3,
      given: SandboxEndpoint(
        address: TransportAddress(rpc: .ttrpc, place: .unix(path: "/run/given.sock")), version: 3),
      recorded: BootstrapParams(
        version: 2, address: "unix:///run/recorded.sock", protocolName: "ttrpc"))
    #expect(plan.params.address == "unix:///run/given.sock")
    #expect(plan.params.version == 3)
  }

  enum Source: Sendable, CustomTestStringConvertible {
    case given(String?, Int)
    case recorded(Int)

    var protocolName: String {
      switch self {
      case .given(let name, _): name ?? ""
      case .recorded: "ttrpc"
      }
    }

    var testDescription: String {
      switch self {
      case .given(let name, let version): "given \(name ?? "no protocol"), version \(version)"
      case .recorded(let version): "recorded version \(version)"
      }
    }

    func plan(_ mode: AttachMode) throws -> AttachPlan {
      switch self {
      case .given(let name, let version):
        let address = TransportAddress(
          rpc: name.flatMap(TransportAddress.RPCProtocol.init), place: .unix(path: "/run/s.sock"))
        return try AttachPlan(
          sandbox: "pod", mode: mode, given: SandboxEndpoint(address: address, version: version),
          recorded: nil)
      case .recorded(let version):
        return try AttachPlan(
          sandbox: "pod", mode: mode, given: nil,
          recorded: BootstrapParams(
            version: version, address: "unix:///run/s.sock", protocolName: "ttrpc"))
      }
    }
  }
}
