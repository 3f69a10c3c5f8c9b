import ContainerdAPI
import ContainerdClient
import Glibc
import ProcessSupervision
import RPCCore
import ShimProtocol
import ShimTestKit
import SwiftProtobuf
import Testing
import UnixTransport

@testable import ShimManagement

/// Bundles as a process before this one would have left them.
struct LeftBundles {
  let fixture: ManagerFixture

  @discardableResult
  func make(
    _ id: String, at path: String?, version: Int = 3, sandbox: String? = nil, binary: String? = nil,
    namespace: String = ManagerFixture.namespace, hasSandboxAPI: Bool = false
  ) throws -> Bundle {
    let bundle = try Bundle.create(
      id: id, namespace: namespace, spec: minimalSpec, in: fixture.scratch.state)
    // Not through the manager's own ways, which wait for the disk each time.
    func leave(_ text: String, in file: String) throws {
      try write(text, to: "\(bundle.path)/\(file)")
    }
    if let sandbox { try leave(sandbox, in: BundleFiles.sandboxFile) }
    if hasSandboxAPI { try SandboxFile().write(to: bundle) }
    if let path {
      let params = BootstrapParams(
        version: version, address: "unix://\(path)", protocolName: "ttrpc")
      try leave(String(decoding: params.json, as: UTF8.self), in: BundleFiles.bootstrapFile)
    }
    if let binary { try leave(binary, in: BundleFiles.shimBinaryPathFile) }
    return bundle
  }

  func releaseAll(_ report: RestoreReport) async {
    for task in report.tasks { await fixture.manager.release(task) }
    for sandbox in report.sandboxes { await fixture.manager.release(sandbox) }
  }
}

@Suite("At a start, what is there is restored")
struct RestoreTests {
  typealias Outcome = RestoreReport.Outcome

  private func outcomes(_ report: RestoreReport) -> [String: Outcome] {
    Dictionary(uniqueKeysWithValues: report.entries.map { ($0.id, $0.outcome) })
  }

  @Test("an attached task is taken up though no binary of its runtime is there")
  func attachedWithoutBinary() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [3])
    try left.make("web", at: shim.path, sandbox: "pod")
    try left.make("own", at: shim.path, binary: "/nowhere/containerd-shim-gone-v1")
    let report = try await fixture.manager.restore()
    #expect(outcomes(report) == ["web": .restored, "own": .restored])
    #expect(report.entries.map(\.sandboxID) == [nil, "pod"])
    #expect(Set(report.tasks.map(\.id)) == ["web", "own"])
    try await eventually("one connection") { shim.connections == 1 }
    await left.releaseAll(report)
    await shim.die()
  }

  @Test("what is dead is cleaned up, tasks before their sandbox, each end reported once")
  func dead() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let binary = try fixture.binary()
    let path = fixture.socket("gone.sock")
    try left.make("pod", at: path, binary: binary, hasSandboxAPI: true)
    try left.make("web", at: path, sandbox: "pod")
    let events = Collected(fixture.manager.events())
    let report = try await fixture.manager.restore()
    #expect(outcomes(report) == ["web": .cleanedUp, "pod": .cleanedUp])
    #expect(report.entries.map(\.exit?.status) == [137, 137])
    #expect(try fixture.runs(of: binary, "delete") == ["pod", "web"])
    #expect(!fixture.hasBundle("pod") && !fixture.hasBundle("web"))
    try await eventually("the ends are reported") { events.all.count == 3 }
    #expect(events.all.map(\.topic) == ["/tasks/exit", "/tasks/delete", "/sandboxes/exit"])
  }

  @Test("a dead shim whose binary is gone, too, is cleaned up without it")
  func deadWithoutBinary() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    try left.make("web", at: fixture.socket("gone.sock"), binary: "/nowhere/containerd-shim-x-v1")
    let report = try await fixture.manager.restore()
    #expect(report.entries.map(\.outcome) == [.cleanedUp])
    #expect(report.entries.map(\.exit?.status) == [255])
    #expect(!fixture.hasBundle("web"))
  }

  /// What a shim says of a task's processes, and what follows.
  @Test(
    "a task is reaped only when its shim says for certain that it has no process",
    arguments: [
      (FakeShim.Answer.success, [4242], Outcome.restored),
      (.success, [], .reaped),
      (.failure(.notFound), [], .reaped),
      (.failure(.internal), [], .restored),
      (.failure(.unimplemented), [], .restored),
      (.failure(.unavailable), [], .restored),
      (.never, [], .restored),
    ] as [(FakeShim.Answer, [UInt32], Outcome)])
  func reaping(_ answer: FakeShim.Answer, _ pids: [UInt32], _ outcome: Outcome) async throws {
    let fixture = try ManagerFixture(limits: { $0.load = .seconds(1) })
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [3], answers: ["Pids": answer])
    shim.setPids(pids)
    try left.make("web", at: shim.path, sandbox: "pod")
    let report = try await fixture.manager.restore()
    #expect(report.entries.map(\.outcome) == [outcome])
    #expect(fixture.hasBundle("web") == (outcome == .restored))
    #expect(shim.calls(of: "Delete") == (outcome == .reaped ? ["v3 Delete web"] : []))
    if outcome == .reaped { #expect(report.entries.first?.exit?.status == 7) }
    await left.releaseAll(report)
    await shim.die()
  }

  /// The shim's first answer, whatever it is, proves that it is there: only a lost connection and a
  /// silence do not.
  @Test(
    "a shim that answers with an error is there",
    arguments: [RPCCode.notFound, .internal, .unavailable, .unknown, .deadlineExceeded])
  func answersBadly(_ code: RPCCode) async throws {
    let fixture = try ManagerFixture(limits: { $0.load = .seconds(5) })
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [3], answers: ["Connect": .failure(code)])
    try left.make("web", at: shim.path, sandbox: "pod")
    let report = try await fixture.manager.restore()
    let outcome = try #require(report.entries.first?.outcome)
    // A deadline that the shim says has passed is no answer to what was asked.
    #expect(outcome == (code == .deadlineExceeded ? .mute : .restored))
    #expect(fixture.hasBundle("web"))
    await left.releaseAll(report)
    await shim.die()
  }

  @Test("restored twice it is there twice, over one connection, and nothing is cleaned up")
  func twice() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [3])
    try left.make("web", at: shim.path, sandbox: "pod")
    let (first, second) = (
      try await fixture.manager.restore(), try await fixture.manager.restore()
    )
    #expect(first.entries.map(\.outcome) == [.restored])
    #expect(second.entries.map(\.outcome) == [.restored])
    #expect(shim.connections == 1)
    await left.releaseAll(first)
    #expect(try await second.tasks.first?.connect().shimPID != 0)
    await left.releaseAll(second)
    await shim.die()
  }

  @Test("what begins with a dot is what an interrupted removal left, and is none of the report")
  func hidden() async throws {
    let fixture = try ManagerFixture()
    try LeftBundles(fixture: fixture).make("web", at: fixture.socket("gone.sock"))
    try #require(mkdir(fixture.bundlePath(".half"), 0o700) == 0)
    try #require(mkdir("\(fixture.scratch.state.bundles)/.other", 0o700) == 0)
    let report = try await fixture.manager.restore()
    #expect(outcomes(report) == ["web": .cleanedUp])
    #expect(!fixture.hasBundle(".half"))
  }

  @Test("a sandbox, of either kind, is never reaped for want of a process")
  func sandboxes() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(
      versions: [3], hasSandbox: true, answers: ["Pids": .failure(.notFound)])
    try left.make("api", at: shim.path, hasSandboxAPI: true)
    try fixture.sandbox("marked", at: shim, version: 3)
    try left.make("joined", at: shim.path)
    try left.make("web", at: shim.path, sandbox: "joined")
    let report = try await fixture.manager.restore()
    #expect(
      outcomes(report) == [
        "api": .restored, "marked": .restored, "joined": .restored, "web": .reaped,
      ])
    #expect(report.sandboxes.map(\.id) == ["api"])
    #expect(report.entries.filter(\.isSandbox).map(\.id) == ["api", "marked"])
    await left.releaseAll(report)
    await shim.die()
  }

  @Test("a sandbox that its shim does not know was never created, and is reaped")
  func uncreatedSandbox() async throws {
    let fixture = try ManagerFixture(limits: { $0.shutdown = .milliseconds(200) })
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(
      versions: [3], hasSandbox: true, answers: ["SandboxStatus": .failure(.notFound)])
    try left.make("pod", at: shim.path, hasSandboxAPI: true)
    let report = try await fixture.manager.restore()
    #expect(report.entries.map(\.outcome) == [.reaped])
    #expect(!fixture.hasBundle("pod"))
    await shim.die()
  }

  @Test("a task that another process is just about to create is left to it")
  func beingMade() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [3], answers: ["Pids": .failure(.notFound)])
    let bundle = try left.make("web", at: shim.path, sandbox: "pod")
    var record = JoinRecord(joined: .attached, after: .zero, shim: nil)
    // A process that surely runs, and is not this one.
    record.makerPID = 1
    record.makerStartTime = try startTime(of: 1)
    try record.write(to: bundle.files)
    let report = try await fixture.manager.restore()
    #expect(report.entries.map(\.outcome) == [.restored])
    #expect(fixture.hasBundle("web"))
    await left.releaseAll(report)
    await shim.die()
  }

  @Test("a shim of version 2 that says 3 is understood, and remembered")
  func downgrade() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [2])
    let bundle = try left.make("web", at: shim.path, version: 3)
    let report = try await fixture.manager.restore()
    #expect(report.tasks.map(\.version) == [2])
    #expect(try bundle.files.readBootstrapParams().version == 2)
    await left.releaseAll(report)
    await shim.die()
  }

  @Test("the bundle of a shim up to containerd 1.7 is taken up by its address file")
  func migration() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let shim = try fixture.shim(versions: [2])
    let bundle = try left.make("web", at: nil)
    try write("unix://\(shim.path)", to: "\(bundle.path)/address")
    let report = try await fixture.manager.restore()
    #expect(report.entries.map(\.outcome) == [.restored])
    #expect(try bundle.files.readBootstrapParams().version == 2)
    await left.releaseAll(report)
    await shim.die()
  }

  @Test("a bundle that was never finished is removed, an empty directory, too")
  func incomplete() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let binary = try fixture.binary()
    try left.make("half", at: nil, binary: binary)
    let early = try left.make("early", at: nil)
    try write("", to: "\(early.path)/address")
    try #require(mkdir(fixture.bundlePath("empty"), 0o700) == 0)
    let report = try await fixture.manager.restore()
    #expect(outcomes(report) == ["half": .incomplete, "early": .incomplete, "empty": .incomplete])
    for id in ["half", "early", "empty"] { #expect(!fixture.hasBundle(id)) }
    #expect(try fixture.runs(of: binary, "delete") == ["half"])
  }

  @Test("one that somebody is making at the moment is not touched")
  func incompleteAndBusy() async throws {
    let fixture = try ManagerFixture()
    try LeftBundles(fixture: fixture).make("half", at: nil)
    let report = try await fixture.scratch.state.withLock(
      namespace: ManagerFixture.namespace, id: "half"
    ) { () throws(ShimManagementError) in try await fixture.manager.restore() }
    #expect(report.entries.map(\.outcome) == [.busy])
    #expect(fixture.hasBundle("half"))
    let again = await fixture.manager.restore(again: report)
    #expect(again.entries.map(\.outcome) == [.incomplete])
  }

  @Test("a mute shim keeps its bundle, and is taken up once it answers")
  func mute() async throws {
    let fixture = try ManagerFixture(limits: { $0.load = .milliseconds(300) })
    let left = LeftBundles(fixture: fixture)
    let path = fixture.socket()
    let silent = try muteSocket(at: path)
    try left.make("web", at: path, sandbox: "pod")
    let report = try await fixture.manager.restore()
    #expect(report.entries.map(\.outcome) == [.mute])
    #expect(report.undecided.map(\.id) == ["web"])
    #expect(report.tasks.isEmpty && fixture.hasBundle("web"))
    silent.close()
    let shim = try fixture.shim(versions: [3])
    let again = await fixture.manager.restore(again: report)
    #expect(again.entries.map(\.outcome) == [.restored])
    #expect(again.undecided.isEmpty)
    await left.releaseAll(again)
    await shim.die()
  }

  @Test("no answer in time, and no connector: neither proves a death")
  func unreachable() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    let bundle = try left.make("far", at: nil)
    try bundle.files.write(
      BootstrapParams(version: 3, address: "vsock://3:1024", protocolName: "ttrpc"))
    let other = try left.make("other", at: nil)
    try other.files.write(
      BootstrapParams(version: 3, address: "unix:///nowhere", protocolName: "grpc"))
    let report = try await fixture.manager.restore()
    for entry in report.entries {
      guard case .unreachable = entry.outcome else {
        Issue.record("\(entry)")
        continue
      }
    }
    #expect(fixture.hasBundle("far") && fixture.hasBundle("other"))
  }

  @Test(
    "a damaged bundle is kept, with its fault named",
    arguments: [
      ("bootstrap.json", ""), ("bootstrap.json", "{"), ("bootstrap.json", "unix:///a"),
      ("bootstrap.json", #"{"version":4,"address":"unix:///a","protocol":"ttrpc"}"#),
      ("bootstrap.json", #"{"version":3,"address":"unix:///a","protocol":"http"}"#),
      ("bootstrap.json", #"{"version":2,"address":"unix:///a","protocol":"grpc"}"#),
      ("bootstrap.json", #"{"version":3,"address":"exec:///bin/sh","protocol":"ttrpc"}"#),
      ("sandbox", "../x"), ("hawsepipe-sandbox.json", #"{"version":9}"#),
    ])
  func damaged(_ file: String, _ text: String) async throws {
    let fixture = try ManagerFixture()
    let bundle = try LeftBundles(fixture: fixture).make("web", at: fixture.socket("gone.sock"))
    try write(text, to: "\(bundle.path)/\(file)")
    let report = try await fixture.manager.restore()
    guard case .damaged(let fault) = report.entries.first?.outcome else {
      Issue.record("\(report.entries)")
      return
    }
    #expect(!fault.isEmpty)
    #expect(fixture.hasBundle("web"))
    #expect(try contents("\(bundle.path)/\(file)") == text)
  }

  @Test("what is no bundle of ours is refused, and not touched")
  func foreign() async throws {
    let fixture = try ManagerFixture()
    let left = LeftBundles(fixture: fixture)
    try left.make("web", at: fixture.socket("gone.sock"))
    let outside = "\(fixture.scratch.path)/outside"
    try #require(mkdir(outside, 0o700) == 0)
    try write("precious", to: "\(outside)/file")
    try write("a file", to: fixture.bundlePath("file"))
    try #require(symlink(outside, fixture.bundlePath("link")) == 0)
    try #require(mkdir(fixture.bundlePath("no name"), 0o700) == 0)
    try #require(symlink(outside, "\(fixture.scratch.state.bundles)/elsewhere") == 0)
    var expected = ["file": true, "link": true, "no name": true, "": true]
    if getuid() == 0 {
      try #require(mkdir(fixture.bundlePath("others"), 0o700) == 0)
      try #require(chown(fixture.bundlePath("others"), 4711, 4711) == 0)
      expected["others"] = true
    }
    let report = try await fixture.manager.restore()
    var refused: [String: Bool] = [:]
    for entry in report.entries {
      if case .foreign(let why) = entry.outcome { refused[entry.id] = !why.isEmpty }
    }
    #expect(refused == expected)
    #expect(try contents("\(outside)/file") == "precious")
    #expect(exists(fixture.bundlePath("file")) && exists(fixture.bundlePath("no name")))
    #expect(!fixture.hasBundle("web"))
  }

  @Test("work directories go last, and only those of ids without a bundle")
  func work() async throws {
    let fixture = try ManagerFixture(limits: { $0.load = .milliseconds(300) })
    let left = LeftBundles(fixture: fixture)
    let state = fixture.scratch.state
    let silent = try muteSocket(at: fixture.socket())
    try left.make("mute", at: fixture.socket(), sandbox: "pod")
    let orphan = try left.make("orphan", at: nil, namespace: "others")
    let damaged = try left.make("damaged", at: nil)
    try write("{", to: "\(damaged.path)/bootstrap.json")
    // Its bundle is gone, as after a reboot.
    try #require(rename(orphan.path, "\(fixture.scratch.path)/away") == 0)
    let report = try await fixture.manager.restore()
    #expect(report.sweptWork == ["others/orphan"])
    #expect(!exists(state.workPath(namespace: "others", id: "orphan")))
    for id in ["mute", "damaged"] {
      #expect(exists(state.workPath(namespace: ManagerFixture.namespace, id: id)))
    }
    silent.close()
  }

  @Test("a thousand bundles, with dead, mute and damaged ones among them, each with a report")
  func thousand() async throws {
    let fixture = try ManagerFixture(limits: { $0.load = .seconds(2) })
    let left = LeftBundles(fixture: fixture)
    var expected: [Outcome: Int] = [:]
    var shims: [FakeShim] = []
    var silent: [UnixListener] = []
    for pod in 0..<10 { shims.append(try fixture.shim("pod-\(pod).sock", versions: [3])) }
    for number in 0..<1000 {
      let id = "t\(number)"
      switch number % 100 {
      case 0..<5:
        try left.make(id, at: fixture.socket("dead-\(number).sock"), sandbox: "pod")
        expected[.cleanedUp, default: 0] += 1
      case 5:
        let path = fixture.socket("mute-\(number).sock")
        silent.append(try muteSocket(at: path))
        try left.make(id, at: path, sandbox: "pod")
        expected[.mute, default: 0] += 1
      case 6 where number % 200 == 6:
        let bundle = try left.make(id, at: nil)
        try write("{", to: "\(bundle.path)/bootstrap.json")
        expected[.damaged(""), default: 0] += 1
      default:
        try left.make(
          id, at: shims[number % shims.count].path, sandbox: "pod",
          namespace: number % 2 == 0 ? ManagerFixture.namespace : "others")
        expected[.restored, default: 0] += 1
      }
    }
    let began = ContinuousClock.now
    let report = try await fixture.manager.restore()
    // Generous: ten mute ones after another would take longer than this alone.
    #expect(ContinuousClock.now - began < .seconds(60))
    var found: [Outcome: Int] = [:]
    for entry in report.entries {
      if case .damaged = entry.outcome {
        found[.damaged(""), default: 0] += 1
      } else {
        found[entry.outcome, default: 0] += 1
      }
    }
    #expect(found == expected)
    #expect(found == [.cleanedUp: 50, .mute: 10, .damaged(""): 5, .restored: 935])
    #expect(report.tasks.count == 935)
    #expect(shims.map(\.connections).reduce(0, +) == 10)
    for listener in silent { listener.close() }
    await left.releaseAll(report)
    for shim in shims { await shim.die() }
  }
}

private func startTime(of pid: Int32) throws -> UInt64 {
  try #require(ProcessIdentity(pid: pid)).startTime
}
