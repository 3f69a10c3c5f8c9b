import ContainerdClient
import Glibc
import Logging
import ProcessSupervision
import ShimManagement
import ShimProtocol
import ShimTestKit
import Testing
import TransportCore
import UnixTransport

@testable import ShimKit

@Suite("A shim under our own manager", .timeLimit(.minutes(5)))
struct ManagerTests {
  @Test("is started and attached to, and nothing of it is left in the end", arguments: [2, 3])
  func lifecycle(_ version: Int) async throws {
    try await ShimFixture.with { fixture in
      let manager = try ShimManager(
        ShimManager.Configuration(
          directory: StateDirectory(state: "\(fixture.path)/state", root: "\(fixture.path)/root"),
          registry: TransportRegistry([UnixConnector()]),
          environment: ["KITTEST_SOCKETS": fixture.sockets, "KITTEST_JSON": "\(version)"],
          logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
      let spec = Array(#"{"ociVersion":"1.1.0"}"#.utf8)
      let pod = try await manager.start(
        ShimManager.StartRequest(
          namespace: ShimFixture.namespace, id: "pod", runtime: ShimFixture.shim, spec: spec))
      #expect(try pod.bundle.files.readBootstrapParams().version == version)
      #expect(fixture.processes().count == 1)
      let web = try await manager.attach(
        ShimManager.AttachRequest(
          namespace: ShimFixture.namespace, id: "web", sandboxID: "pod",
          mode: version == 3 ? .version3 : .version2, spec: spec))
      _ = try await web.create(TaskCreation(id: "web", bundle: web.bundle.path))
      #expect(fixture.processes().count == 1)
      _ = try await manager.delete(web)
      await manager.abandon(pod)
      try await fixture.noProcess()
      #expect(try fixture.leftovers() == [])
    }
  }
}
