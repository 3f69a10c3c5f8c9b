import ContainerdAPI
import FoundationEssentials
import Glibc
import ProcessSupervision
import ShimProtocol
import ShimTestKit
import SwiftProtobuf
import Testing

@testable import ShimManagement

@Suite("What a shim's start is told")
struct StartDialectTests {
  private func start(
    _ fixture: ManagerFixture, _ dialect: StartDialect?, binary: String
  ) async throws -> ShimTask {
    var configuration = fixture.manager.configuration
    configuration.startDialect = dialect
    let manager = try ShimManager(configuration)
    return try await manager.start(
      ShimManager.StartRequest(
        namespace: ManagerFixture.namespace, id: "web", runtime: binary, spec: minimalSpec,
        options: .with { $0.typeURL = "x.Options" }))
  }

  @Test("bootstrap params when they are configured, with the options among the extensions")
  func configured() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim(versions: [3])
    let input = "\(fixture.scratch.path)/input"
    let binary = try fixture.binary(
      start:
        #"cat > \#(input); echo '{"version":3,"address":"unix://\#(shim.path)","protocol":"ttrpc"}'"#
    )
    let task = try await start(fixture, .bootstrap, binary: binary)
    let params = try Containerd_Runtime_Bootstrap_V1_BootstrapParams(
      serializedBytes: try Data(contentsOf: URL(filePath: input)))
    #expect(params.instanceID == "web" && params.namespace == ManagerFixture.namespace)
    #expect(params.containerdTtrpcAddress == fixture.scratch.state.eventsSocket)
    #expect(params.containerdBinary == "/bin/true")
    #expect(params.extensions.map(\.value.typeURL) == ["x.Options"])
    #expect(task.version == 3)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test("a shim that asks for bootstrap params gets them, after what it left was ended")
  func refusal() async throws {
    let fixture = try ManagerFixture(limits: { $0.stray = .milliseconds(200) })
    let shim = try fixture.shim(versions: [3])
    let left = "\(fixture.scratch.path)/left"
    let binary = try fixture.binary(
      start: #"""
        if grep -q web; then
          echo '{"version":3,"address":"unix://\#(shim.path)","protocol":"ttrpc"}'
        else
          sleep 1000 < /dev/null > /dev/null 2>&1 &
          echo $! > \#(left)
          echo "no valid bootstrap params on standard input: restart the daemon" >&2
          exit 1
        fi
        """#)
    let task = try await start(fixture, nil, binary: binary)
    #expect(task.version == 3)
    #expect(try fixture.runs(of: binary, "start") == ["web", "web"])
    let pid = try #require(Int32(try contents(left).split(separator: "\n").first ?? ""))
    #expect(ProcessIdentity(pid: pid) == nil)
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test(
    "a start that fails for another reason, or by a dialect that was configured, is not repeated")
  func otherFailures() async throws {
    for (dialect, text) in [
      (nil, "no such runtime"), (StartDialect.options, "no bootstrap params"),
      (.bootstrap, "no bootstrap params"),
    ] {
      let fixture = try ManagerFixture()
      let binary = try fixture.binary(start: "cat > /dev/null; echo '\(text)' >&2; exit 1")
      let error = await asyncFailure {
        _ = try await self.start(fixture, dialect, binary: binary)
      }
      #expect(error?.description.contains(text) == true)
      #expect(try fixture.runs(of: binary, "start") == ["web"])
      #expect(!fixture.hasBundle("web"))
    }
  }
}
