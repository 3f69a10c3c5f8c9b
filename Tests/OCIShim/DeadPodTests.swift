import Glibc
import LinuxSystem
import ProcessSupervision
import Synchronization
import Testing

@testable import OCIShim
@testable import ShimKit

@Suite("The containers of a sandbox whose shim is gone")
struct DeadPodTests {
  /// A sandbox's bundle with notes of containers, whose inits are processes of the test's own.
  private struct Pod {
    let sandbox = try! TemporaryDirectory()  // A test without a directory has nothing to test.
    let bundles: [TemporaryDirectory]
    let inits: [ChildProcess]

    init(_ count: Int, _ runtime: FakeRuntime) throws {
      var bundles: [TemporaryDirectory] = []
      var inits: [ChildProcess] = []
      let notes = AttachedContainers(bundle: sandbox.path)
      for number in 0..<count {
        let bundle = try TemporaryDirectory()
        try bundle.write("sandbox", "pod")
        let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
        var record = JournalRecord(id: "c\(number)", namespace: "ns")
        record.options = runtime.options
        record.initProcess = .init(
          pid: child.pid, startTime: ProcessStatus(pid: child.pid)?.startTime)
        try notes.note(record, bundle: bundle.path)
        try Journal(bundle: bundle.path).write(record)
        bundles.append(bundle)
        inits.append(child)
      }
      (self.bundles, self.inits) = (bundles, inits)
    }

    /// - Returns: what was said.
    func end(within limit: Duration) async throws -> [String] {
      let said = Mutex<[String]>([])
      await DeadPod(
        request: ShimDeleteRequest(
          namespace: "ns", id: "pod", bundle: sandbox.path, debug: false, daemonAddress: "",
          environment: [:])
      ).endContainers(within: limit) { text in said.withLock { $0.append(text) } }
      for child in inits { #expect(try await child.wait() == .signalled(SIGKILL)) }
      return said.withLock { $0.sorted() }
    }
  }

  @Test("all are killed, and removed by their runtime")
  func removed() async throws {
    let runtime = try FakeRuntime("")
    let said = try await Pod(20, runtime).end(within: .seconds(60))
    #expect(said.count == 20)
    #expect(
      said.allSatisfy { $0.hasSuffix("ran when its shim died, and is killed now") }, "\(said)")
    #expect(runtime.calls.filter { $0.contains("delete --force c") }.count == 20)
  }

  @Test("where there is no time for all, all are killed, and it is said which may be left")
  func late() async throws {
    let runtime = try FakeRuntime("")
    let said = try await Pod(20, runtime).end(within: .zero)
    #expect(runtime.calls.count == 8)
    let late = try #require(said.first { $0.hasPrefix("there was no time") })
    #expect(late.contains("clean up after 12 containers of sandbox pod"), "\(said)")
    #expect(late.hasSuffix(", …"))
  }

  @Test("one whose runtime cannot be run is killed all the same, and said")
  func noRuntime() async throws {
    var runtime = try FakeRuntime("")
    runtime.options.binaryName = "/none"
    let said = try await Pod(1, runtime).end(within: .seconds(60))
    #expect(said.count == 1 && said[0].contains("container c0 of sandbox pod may be left"))
  }
}
