import ContainerdClient
import RPCCore
import ShimProtocol
import ShimTestKit
import Testing
import TransportCore
import UnixTransport

@testable import ShimManagement

@Suite("What is known of the bundles of a namespace")
struct ManagerListTests {
  @Test("alive, dead, mute, incomplete and damaged are told apart, the mute within one limit")
  func conditions() async throws {
    let fixture = try ManagerFixture(limits: { $0.query = .seconds(1) })
    let shim = try fixture.shim()
    let dead = try fixture.shim("dead.sock")
    try fixture.sandbox(at: shim)
    await fixture.manager.release(try await fixture.attach("alive", to: shim))
    await fixture.manager.release(try await fixture.attach("dead", to: dead))
    await dead.die()
    let bundle = { (id: String) in
      try Bundle.create(
        id: id, namespace: ManagerFixture.namespace, spec: minimalSpec, in: fixture.scratch.state)
    }
    // Many mute ones: were they asked one after the other, it would take as many limits.
    var mutes: [UnixListener] = []
    for number in 0..<10 {
      let path = fixture.socket("mute-\(number).sock")
      mutes.append(try muteSocket(at: path))
      try bundle("mute-\(number)").files.write(
        BootstrapParams(version: 2, address: "unix://\(path)", protocolName: "ttrpc"))
    }
    _ = try bundle("incomplete")
    try write("{", to: "\(try bundle("damaged").path)/bootstrap.json")
    try write("", to: "\(try bundle("empty-address").path)/address")

    let began = ContinuousClock.now
    let reports = try await fixture.manager.list(namespace: ManagerFixture.namespace)
    // Ten times the limit is what asking in turn would take.
    #expect(ContinuousClock.now - began < .seconds(8))
    let found = Dictionary(uniqueKeysWithValues: reports.map { ($0.id, $0) })
    #expect(found.count == 16)
    #expect(found["pod"]?.condition == .alive && found["pod"]?.isSandbox == true)
    #expect(found["alive"]?.condition == .alive && found["alive"]?.sandboxID == "pod")
    #expect(found["alive"]?.state?.status == .running && found["alive"]?.state?.pid == 4242)
    #expect(found["alive"]?.joined?.joined == "attached")
    #expect(found["dead"]?.condition == .dead && found["dead"]?.state == nil)
    #expect(found["incomplete"]?.condition == .incomplete)
    for number in 0..<10 { #expect(found["mute-\(number)"]?.condition == .mute) }
    guard case .damaged(let fault) = found["damaged"]?.condition else {
      Issue.record("\(found["damaged"] as Any)")
      return
    }
    #expect(fault.contains("\(fixture.bundlePath("damaged"))/bootstrap.json"))
    guard case .damaged(let empty) = found["empty-address"]?.condition else {
      Issue.record("\(found["empty-address"] as Any)")
      return
    }
    #expect(empty.contains("\(fixture.bundlePath("empty-address"))/address is empty"))
    for mute in mutes { mute.close() }
    await shim.die()
  }

  @Test("a shim at an address that nothing here can dial is unreachable, and it says why")
  func unreachable() async throws {
    let fixture = try ManagerFixture()
    let bundle = try Bundle.create(
      id: "vm", namespace: ManagerFixture.namespace, spec: minimalSpec, in: fixture.scratch.state)
    try bundle.files.write(
      BootstrapParams(version: 3, address: "vsock://3:1024", protocolName: "ttrpc"))
    let report = try await fixture.manager.report(namespace: ManagerFixture.namespace, id: "vm")
    guard case .unreachable(let reason) = report.condition else {
      Issue.record("\(report.condition)")
      return
    }
    #expect(reason.contains("vsock"))
  }

  @Test("a task that the shim does not know is alive without a state")
  func noState() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(answers: ["State": .failure(.notFound)])
    await fixture.manager.release(try await fixture.attach("web", to: shim))
    let report = try await fixture.manager.report(namespace: ManagerFixture.namespace, id: "web")
    #expect(report.condition == .alive)
    #expect(report.state == nil)
    await shim.die()
  }

  @Test("a mute shim keeps nobody's calls to another waiting")
  func muteNeighbour() async throws {
    let fixture = try ManagerFixture(limits: { $0.change = .milliseconds(500) })
    let shim = try fixture.shim()
    let mute = try fixture.shim("mute.sock", answers: ["Delete": .never])
    let stuck = try await fixture.manager.attach(
      fixture.request("stuck", at: mute.address, sandbox: "mute-pod"))
    let deletes = Task { await asyncFailure { try await fixture.manager.delete(stuck) } }
    // Meanwhile a task lives its whole life next door, many times.
    for number in 0..<20 {
      let task = try await fixture.attach("web-\(number)", to: shim)
      _ = try await task.create(.init(id: task.id, bundle: task.bundle.path))
      try await task.start()
      try await fixture.manager.delete(task)
    }
    let error = await deletes.value
    #expect(error?.code == .timedOut)
    #expect(error?.description.contains("does not answer") == true)
    // Nothing was removed; it can be discarded without its shim.
    #expect(fixture.hasBundle("stuck"))
    await fixture.manager.release(stuck)
    try await fixture.manager.discard(namespace: ManagerFixture.namespace, id: "stuck")
    #expect(!fixture.hasBundle("stuck"))
    await mute.die()
    await shim.die()
  }

  @Test("an interrupted attach is discarded without its shim's being asked")
  func discardIncomplete() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let binary = try fixture.binary()
    try fixture.sandbox(at: shim, binary: binary)
    let bundle = try Bundle.create(
      id: "half", namespace: ManagerFixture.namespace, spec: minimalSpec, in: fixture.scratch.state)
    try bundle.files.writeSandboxID("pod")
    let end = try await fixture.manager.discard(namespace: ManagerFixture.namespace, id: "half")
    // By the sandbox's binary, for want of one of its own.
    #expect(end?.status == 137)
    #expect(try fixture.runs(of: binary, "delete") == ["half"])
    #expect(!fixture.hasBundle("half"))
    #expect(fixture.hasBundle("pod"))
    await shim.die()
  }
}
