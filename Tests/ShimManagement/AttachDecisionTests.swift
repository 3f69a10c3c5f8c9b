import Glibc
import ShimProtocol
import ShimTestKit
import Testing
import TransportCore

@testable import ShimManagement

/// The table by which containerd decides whether a task joins its sandbox's shim (core/runtime/v2,
/// `ShimManager.Start`), row by row, against shims that serve. Where containerd falls back to a shim of
/// the task's own without a word, this is an error, unless the caller chose that way.
@Suite("What becomes of a task with a sandbox, by what is known of the sandbox")
struct AttachDecisionTests {
  /// What there is of the sandbox.
  enum Sandbox: Sendable {
    /// No bundle.
    case none
    /// A bundle whose shim serves this version.
    case there(Int)
    /// One whose shim has died.
    case dead
    /// Files in it that cannot be read: `bootstrap.json` holds this.
    case damaged(String)
    /// A bundle without a word of where its shim is.
    case unfinished
  }

  enum End: Sendable, Equatable {
    /// By the sandbox's shim, in this version, and no binary was run.
    case attached(Int)
    /// The binary was run, and answered with the sandbox's shim.
    case reused
    case refused(ShimManagementError.Code, String)
  }

  struct Row: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var sandbox: Sandbox
    /// What the caller gives: the protocol, nil for an address without one, and the version.
    var given: (rpc: TransportAddress.RPCProtocol?, version: Int)?
    var mode: AttachMode
    var end: End

    init(
      _ description: String, _ sandbox: Sandbox,
      given: (rpc: TransportAddress.RPCProtocol?, version: Int)? = nil, _ mode: AttachMode,
      _ end: End
    ) {
      testDescription = description
      self.sandbox = sandbox
      self.given = given
      self.mode = mode
      self.end = end
    }
  }

  static let rows: [Row] = [
    // The record cannot be read: its error, and not a guess.
    Row(
      "damaged, nothing given", .damaged("{"), .version3, .refused(.damagedState, "bootstrap.json")),
    Row("empty, nothing given", .damaged(""), .version3, .refused(.damagedState, "bootstrap.json")),
    Row("unfinished", .unfinished, .version3, .refused(.damagedState, "cannot")),
    Row("damaged, address given", .damaged("{"), given: (.ttrpc, 3), .version3, .attached(3)),
    // There is no record.
    Row("nothing known", .none, .version3, .refused(.sandboxNotFound, "no bundle")),
    Row("nothing known, by binary", .none, .throughBinary, .refused(.sandboxNotFound, "no bundle")),
    Row("no record, address given", .none, given: (.ttrpc, 3), .version3, .attached(3)),
    Row(
      "no record, address given, by binary", .none, given: (.ttrpc, 3), .throughBinary,
      .refused(.sandboxNotFound, "no bundle")),
    // There is one, and an address is given.
    Row(
      "address without a protocol", .there(3), given: (nil, 3), .version3,
      .refused(.attachFailed, "does not say which protocol")),
    Row("given, version 3", .there(3), given: (.ttrpc, 3), .version3, .attached(3)),
    Row("given, version 2 as v2", .there(2), given: (.ttrpc, 2), .version2, .attached(2)),
    Row(
      "given, version 2 as v3", .there(2), given: (.ttrpc, 2), .version3,
      .refused(.attachFailed, "version 2")),
    Row(
      "given, no version", .there(3), given: (.ttrpc, 0), .version3,
      .refused(.attachFailed, "no version 0")),
    Row(
      "given, a future version", .there(3), given: (.ttrpc, 4), .version3,
      .refused(.attachFailed, "no version 4")),
    Row(
      "given, version 2 over gRPC", .there(3), given: (.grpc, 2), .version2,
      .refused(.attachFailed, "ttrpc only")),
    Row("given, by binary", .there(3), given: (.ttrpc, 3), .throughBinary, .reused),
    // There is one, and its bundle says where.
    Row("recorded, version 3", .there(3), .version3, .attached(3)),
    Row("recorded, version 2 as v2", .there(2), .version2, .attached(2)),
    Row(
      "recorded, version 2 as v3", .there(2), .version3, .refused(.attachFailed, "version 2")),
    Row(
      "recorded, version 3 as v2", .there(3), .version2, .refused(.attachFailed, "version 3")),
    Row("recorded, version 2, by binary", .there(2), .throughBinary, .reused),
    Row("recorded, version 3, by binary", .there(3), .throughBinary, .reused),
    Row("recorded, its shim is dead", .dead, .version3, .refused(.shimDied, "connect")),
    Row(
      "recorded, a future version",
      .damaged(#"{"version":4,"address":"unix:///a","protocol":"ttrpc"}"#), .version3,
      .refused(.damagedState, "bootstrap.json")),
    Row(
      "recorded, another protocol",
      .damaged(#"{"version":3,"address":"unix:///a","protocol":"http"}"#), .version3,
      .refused(.damagedState, "bootstrap.json")),
  ]

  @Test("each row", arguments: rows)
  func decision(_ row: Row) async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [2, 3])
    let binary = try fixture.binary(start: "printf 'unix://\(shim.path)'")
    try await prepare(row.sandbox, fixture, shim, binary)
    let before = tree(fixture.scratch.path).filter { !$0.contains("/locks/") }

    var request = fixture.request("web", at: shim.address)
    request.mode = row.mode
    request.endpoint = row.given.map {
      SandboxEndpoint(
        address: TransportAddress(rpc: $0.rpc, place: .unix(path: shim.path)), version: $0.version)
    }
    switch row.end {
    case .attached(let version):
      let task = try await fixture.manager.attach(request)
      #expect(task.joined == .attached && task.version == version && task.sandboxID == "pod")
      #expect(try fixture.runs(of: binary, "start") == [])
      await fixture.manager.release(task)
    case .reused:
      let task = try await fixture.manager.attach(request)
      #expect(task.joined == .reused && task.sandboxID == "pod")
      #expect(try fixture.runs(of: binary, "start") == ["web"])
      await fixture.manager.release(task)
    case .refused(let code, let essential):
      let error = await asyncFailure { _ = try await fixture.manager.attach(request) }
      #expect(error?.code == code, "\(error as Any)")
      #expect(error?.description.contains(essential) == true, "\(error as Any)")
      #expect(!fixture.hasBundle("web"))
      #expect(try fixture.runs(of: binary, "start") == [])
      #expect(shim.calls.isEmpty)
      let after = tree(fixture.scratch.path).filter { !$0.contains("/locks/") }
      #expect(after.filter { $0.contains("/web") } == before.filter { $0.contains("/web") })
    }
    await shim.die()
  }

  /// The row without a sandbox at all.
  @Test("a task without a sandbox: the binary is run, and its shim is the task's own")
  func noSandbox() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    let binary = try fixture.binary(answering: shim)
    let task = try await fixture.start("web", binary: binary)
    #expect(task.joined == .started && task.sandboxID == nil)
    #expect(try fixture.runs(of: binary, "start") == ["web"])
    await fixture.manager.release(task)
    await shim.die()
  }

  private func prepare(
    _ sandbox: Sandbox, _ fixture: ManagerFixture, _ shim: FakeShim, _ binary: String
  ) async throws {
    switch sandbox {
    case .none: return
    case .there(let version):
      try fixture.sandbox(at: shim, version: version, binary: binary)
    case .dead:
      let dead = try fixture.shim("dead.sock", versions: [3])
      try fixture.sandbox(at: dead, version: 3, binary: binary)
      await dead.die()
    case .damaged(let text):
      let bundle = try fixture.sandbox(at: shim, version: 3, binary: binary)
      try write(text, to: "\(bundle.path)/bootstrap.json")
    case .unfinished:
      let bundle = try fixture.sandbox(at: shim, version: 3, binary: binary)
      try #require(unlink("\(bundle.path)/bootstrap.json") == 0)
    }
  }
}
