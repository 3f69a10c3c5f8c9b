import Glibc
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("The environment of shims")
struct ShimEnvironmentTests {
  @Test(
    "containerd's sched_core is taken over when it is true; what is no boolean is warned of",
    arguments: [
      (ShimEnvironment.SchedCore.absent, [:], [:], false),
      (.boolean(true), [:], ["SCHED_CORE": "1"], false),
      (.boolean(false), [:], [:], false),
      (.boolean(true), ["SCHED_CORE": "0"], ["SCHED_CORE": "0"], false),
      (.other("\"yes\""), ["A": "b"], ["A": "b"], true),
    ] as [(ShimEnvironment.SchedCore, [String: String], [String: String], Bool)])
  func migration(
    _ setting: ShimEnvironment.SchedCore, _ before: [String: String], _ after: [String: String],
    _ warns: Bool
  ) {
    var environment = ShimEnvironment(before)
    let warning = environment.migrate(schedCore: setting)
    #expect(environment.variables == after)
    #expect((warning != nil) == warns)
    if warns { #expect(warning?.contains("sched_core") == true) }
  }

  @Test("settings are NAME=value; the last of a name counts")
  func settings() throws {
    let environment = try ShimEnvironment(settings: ["A=1", "B=x=y", "C=", "A=2"])
    #expect(environment.variables == ["A": "2", "B": "x=y", "C": ""])
    #expect(environment.settings == ["A=2", "B=x=y", "C="])
  }

  @Test("what is no setting is refused", arguments: ["A", "=b", "", "A=b\nC=d", "A=\0"])
  func badSettings(_ text: String) {
    let error = failure { _ = try ShimEnvironment(settings: [text]) }
    #expect(error?.code == .invalidEnvironment)
  }

  @Test("start and delete get the same, also when the setting has changed in between")
  func bothGetIt() async throws {
    let fixture = try ManagerFixture(environment: ["MARK": "first"])
    let shim = try fixture.shim(versions: [3])
    let seen = "\(fixture.scratch.path)/seen"
    let binary = try fixture.binary(
      start: "echo start $MARK >> \(seen); echo 'unix://\(shim.path)'",
      delete: #"echo delete $MARK >> \#(seen); printf '\010\052\020\211\001'"#)
    let task = try await fixture.start("web", binary: binary)
    await fixture.manager.release(task)
    await shim.die()
    var configuration = fixture.manager.configuration
    configuration.shimEnvironment = ShimEnvironment(["MARK": "second"])
    let later = try ShimManager(configuration)
    let report = try await later.restore()
    #expect(report.entries.map(\.outcome) == [.cleanedUp])
    #expect(try contents(seen) == "start first\ndelete first\n")
  }

  @Test("the file is for its owner alone, and is not there when there is nothing to keep")
  func file() async throws {
    for variables in [[:], ["MARK": "x"]] {
      let fixture = try ManagerFixture(environment: variables)
      let shim = try fixture.shim(versions: [3])
      let task = try await fixture.start("web", binary: try fixture.binary(answering: shim))
      let path = "\(fixture.bundlePath("web"))/shim.env"
      #expect(exists(path) == !variables.isEmpty)
      if exists(path) {
        var status = stat()
        try #require(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
        #expect(try contents(path) == "MARK=x\n")
      }
      await fixture.manager.release(task)
      await shim.die()
    }
  }
}
