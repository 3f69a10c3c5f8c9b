import ContainerdAPI
import FoundationEssentials
import Glibc
import Logging
import RPCCore
import SwiftProtobuf
import Synchronization
import Testing

@testable import OCIShim

/// A holder that ends as the test says.
private final class FakeHolder: SandboxHolder {
  private struct State {
    var signals: [Int32] = []
    var isHardOfHearing = false
  }

  private let state = Mutex(State())
  private let promise = ExitPromise()

  // No process of the system has it.
  var pid: Int32 { 5_000_001 }
  var signals: [Int32] { state.withLock { $0.signals } }

  func ignoreTermination() { state.withLock { $0.isHardOfHearing = true } }

  func end(_ status: UInt32) { promise.resolve(ProcessEnd(status: status, time: .now)) }

  func wait() async -> UInt32 {
    // Nobody cancels it.
    ((try? await promise.wait()) ?? nil)?.status ?? 0
  }

  func signal(_ number: Int32) {
    let dies = state.withLock { state in
      state.signals.append(number)
      return number == SIGKILL || !state.isHardOfHearing
    }
    if dies { end(number == SIGKILL ? 137 : 0) }
  }
}

private final class FakeHolders: SandboxHolders {
  let holder = FakeHolder()
  private let fault = Mutex<OCIShimError?>(nil)
  private let asked = Mutex<HeldSandbox?>(nil)

  var held: HeldSandbox? { asked.withLock { $0 } }

  func fail(_ error: OCIShimError) { fault.withLock { $0 = error } }

  func hold(_ sandbox: HeldSandbox) throws(OCIShimError) -> any SandboxHolder {
    asked.withLock { $0 = sandbox }
    if let error = fault.withLock({ $0 }) { throw error }
    return holder
  }
}

private struct Fixture {
  typealias Methods = Containerd_Runtime_Sandbox_V1_SandboxMethods

  let bundle: TemporaryDirectory
  let holders = FakeHolders()
  let service: OCISandboxService
  let ends = TaskFixture.Counter()
  let context = RPCServerContext(method: Methods.createSandbox)

  init() throws {
    bundle = try TemporaryDirectory()
    let ends = ends
    service = OCISandboxService(
      namespace: "ns", logger: Logger(label: "test"), holders: holders, metrics: nil,
      shutDown: { ends.add() })
  }

  func create(
    _ change: (inout Containerd_Runtime_Sandbox_V1_CreateSandboxRequest) -> Void = { _ in }
  ) async throws {
    var request = Containerd_Runtime_Sandbox_V1_CreateSandboxRequest()
    request.sandboxID = "pod"
    request.bundlePath = bundle.path
    change(&request)
    _ = try await service.createSandbox(request, context: context)
  }

  @discardableResult
  func start(_ id: String = "pod") async throws -> UInt32 {
    try await service.startSandbox(.with { $0.sandboxID = id }, context: context).pid
  }

  func stop(_ id: String = "pod", seconds: UInt32 = 0) async throws {
    _ = try await service.stopSandbox(
      .with {
        $0.sandboxID = id
        $0.timeoutSecs = seconds
      }, context: context)
  }

  func wait(_ id: String = "pod") async throws -> UInt32 {
    try await service.waitSandbox(.with { $0.sandboxID = id }, context: context).exitStatus
  }

  func status(_ id: String = "pod") async throws
    -> Containerd_Runtime_Sandbox_V1_SandboxStatusResponse
  {
    try await service.sandboxStatus(
      .with {
        $0.sandboxID = id
        $0.verbose = true
      }, context: context)
  }

  func shutDown(_ id: String = "pod") async throws {
    _ = try await service.shutdownSandbox(.with { $0.sandboxID = id }, context: context)
  }

  func code(_ body: () async throws -> Void) async -> RPCCode? {
    do {
      try await body()
      return nil
    } catch {
      return (error as? RPCError)?.code
    }
  }
}

@Suite("The sandbox service")
struct SandboxServiceTests {
  @Test("a sandbox is made ready, runs, is stopped, and is told of at each point")
  func life() async throws {
    let sandbox = try Fixture()
    #expect(!sandbox.service.isInUse)
    try await sandbox.create { $0.netnsPath = "/run/netns/x" }
    #expect(sandbox.service.isInUse)
    #expect(try await sandbox.status().state == "SANDBOX_NOTREADY")
    let pid = try await sandbox.start()
    #expect(sandbox.holders.held?.network == "/run/netns/x")
    let ready = try await sandbox.status()
    #expect(ready.state == "SANDBOX_READY" && ready.pid == pid && !ready.hasExitedAt)
    #expect(ready.hasCreatedAt && ready.info["info"]?.contains("/run/netns/x") == true)
    async let end = sandbox.wait()
    try await sandbox.stop()
    #expect(try await end == 0)
    #expect(sandbox.holders.holder.signals == [SIGTERM])
    let stopped = try await sandbox.status()
    #expect(stopped.state == "SANDBOX_NOTREADY" && stopped.pid == 0 && stopped.hasExitedAt)
    // Who missed an answer asks again.
    try await sandbox.stop()
    #expect(try await sandbox.wait() == 0)
    try await sandbox.shutDown()
    try await sandbox.shutDown()
    #expect(sandbox.ends.value == 2 && !sandbox.service.isInUse)
    #expect(await sandbox.code { _ = try await sandbox.status() } == .notFound)
  }

  @Test("the platform is this machine's, and a ping is answered")
  func platform() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    let platform = try await sandbox.service.platform(
      .with { $0.sandboxID = "pod" }, context: sandbox.context
    ).platform
    #expect(platform.os == "linux" && ["amd64", "arm64"].contains(platform.architecture))
    _ = try await sandbox.service.pingSandbox(
      .with { $0.sandboxID = "pod" }, context: sandbox.context)
  }

  @Test("who is not known is not found, by every method")
  func unknown() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    let service = sandbox.service
    let context = sandbox.context
    let calls: [@Sendable () async throws -> Void] = [
      { _ = try await service.startSandbox(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.platform(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.stopSandbox(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.waitSandbox(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.sandboxStatus(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.pingSandbox(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.shutdownSandbox(.with { $0.sandboxID = "x" }, context: context) },
      { _ = try await service.sandboxMetrics(.with { $0.sandboxID = "x" }, context: context) },
    ]
    for call in calls { #expect(await sandbox.code(call) == .notFound) }
    #expect(sandbox.ends.value == 0)
  }

  @Test("a shim has one sandbox, which is started once")
  func once() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    #expect(await sandbox.code { try await sandbox.create() } == .alreadyExists)
    #expect(
      await sandbox.code { try await sandbox.create { $0.sandboxID = "two" } } == .alreadyExists)
    try await sandbox.start()
    #expect(await sandbox.code { try await sandbox.start() } == .failedPrecondition)
  }

  @Test("a request that cannot be meant is refused, and makes nothing")
  func refused() async throws {
    let sandbox = try Fixture()
    let changes: [@Sendable (inout Containerd_Runtime_Sandbox_V1_CreateSandboxRequest) -> Void] = [
      { $0.sandboxID = "../x" }, { $0.sandboxID = "" }, { $0.bundlePath = "" },
      { $0.bundlePath = "b" }, { $0.netnsPath = "net" }, { $0.netnsPath = "/a\0b" },
      { $0.rootfs = [Containerd_Types_Mount()] },
      {
        $0.options.typeURL = "type.googleapis.com/runtime.v1.PodSandboxConfig"
        $0.options.value = Data([0xff])
      },
    ]
    for change in changes {
      #expect(await sandbox.code { try await sandbox.create(change) } == .invalidArgument)
    }
    #expect(!sandbox.service.isInUse)
    try await sandbox.create()
  }

  @Test("a holder that does not end is killed when the time is over")
  func killed() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    try await sandbox.start()
    sandbox.holders.holder.ignoreTermination()
    try await sandbox.stop(seconds: 1)
    #expect(sandbox.holders.holder.signals == [SIGTERM, SIGKILL])
    #expect(try await sandbox.wait() == 137)
  }

  @Test("a holder's own end is the sandbox's, and is in the journal")
  func death() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    try await sandbox.start()
    sandbox.holders.holder.end(137)
    #expect(try await sandbox.wait() == 137)
    #expect(try await sandbox.status().state == "SANDBOX_NOTREADY")
    let record = try #require(try Journal(bundle: sandbox.bundle.path).read())
    #expect(record.exit?.status == 137 && record.initProcess?.pid == 5_000_001)
  }

  @Test("namespaces that cannot be made are an error of the start, and the sandbox can be removed")
  func failure() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    sandbox.holders.fail(OCIShimError(code: .system, message: "no such network"))
    #expect(await sandbox.code { try await sandbox.start() } != nil)
    #expect(try await sandbox.wait() == 255)
    try await sandbox.stop()
    try await sandbox.shutDown()
    #expect(sandbox.ends.value == 1)
  }

  @Test("a sandbox that never ran can be stopped, which ends who waits for it")
  func neverStarted() async throws {
    let sandbox = try Fixture()
    try await sandbox.create()
    async let end = sandbox.wait()
    try await sandbox.stop()
    #expect(try await end == 0)
    #expect(await sandbox.code { try await sandbox.start() } == .failedPrecondition)
  }

  @Test("with containers it is not shut down; without a sandbox, shutting down ends the process")
  func containers() async throws {
    let sandbox = try Fixture()
    try await sandbox.shutDown()
    #expect(sandbox.ends.value == 1)
    try await sandbox.create()
    try await sandbox.start()
    let box = Box(has: true)
    sandbox.service.refuseShutDown { box.has.withLock { $0 } }
    #expect(await sandbox.code { try await sandbox.shutDown() } == .failedPrecondition)
    #expect(try await sandbox.status().state == "SANDBOX_READY" && sandbox.ends.value == 1)
    box.has.withLock { $0 = false }
    try await sandbox.shutDown()
    #expect(sandbox.ends.value == 2 && sandbox.holders.holder.signals == [SIGTERM])
  }

  private final class Box: Sendable {
    let has: Mutex<Bool>
    init(has: Bool) { self.has = Mutex(has) }
  }
}
