import Glibc
import HybridVsockTransport
import NIOCore
import Testing
import TransportCore

/// Guests that are killed, and tests that are.
@Suite(.serialized)
struct VirtualMachineLifetimeTests {
  @Test("A guest that is killed is gone at once, and waited for until it is back")
  func killedAndStartedAgain() async throws {
    try await VirtualMachines.use(cids: [44]) { machines in
      let guest = machines.machines[0]
      let address = guest.address(GuestPort.identifying)
      let patient = ConnectOptions(timeout: .seconds(300), mode: .waitUntilReady())
      try await machines.startDevices()
      for _ in 0..<2 {
        try guest.start("serve")
        #expect(try await hear(address, patient).text == "cid 2")
        let ear = Ear()
        _ = try await HybridVsockConnector().connect(
          to: guest.address(GuestPort.speakingFirst)
        ) { try $0.pipeline.syncOperations.addHandler(EarHandler(ear)) }
        try await eventually("the guest speaks first") { ear.bytes.readableBytes == 10_000 }
        try await guest.kill()

        try await eventually("the connection that was there has ended") { ear.hasEnded }
        // The daemon ends the device and makes it anew; then its driver is missing, as at boot.
        try await eventually("dialling tells that the VMM has ended") {
          let failure = try await Self.failure(of: address)
          return [EPIPE, ECONNRESET].contains(failure.errno)
            && failure.hint?.contains("has ended") == true
        }
      }
    }
  }

  /// Why one try fails, as every try must that comes too early.
  private static func failure(of address: TransportAddress) async throws -> AttemptFailure {
    do throws(TransportError) {
      let connection = try await HybridVsockConnector().connect(to: address) { _ in }
      connection.channel.close(promise: nil)
    } catch {
      #expect(error.code == .connectFailed)
      let failure = try #require(error.attempts.last?.failure)
      #expect(failure.outlook == .notReady, "\(failure)")
      return failure
    }
    throw VirtualMachineKit.Failure(description: "a guest that was killed answers")
  }

  @Test("A test process that is killed takes its guests with it")
  func testProcessKilled() async throws {
    let kit = try await VirtualMachineKit.ready()
    let result = await #expect(
      processExitsWith: .signal(SIGKILL), observing: [\.standardOutputContent]
    ) { [kit = kit as VirtualMachineKit] in
      let machines = try await VirtualMachines(kit, cids: [45])
      try await machines.startDevices()
      try machines.machines[0].start("serve")
      try await eventually("the guest is powered on") { machines.machines[0].isPoweredOn }
      print("\nfolder \(machines.directory)")
      fflush(nil)
      kill(getpid(), SIGKILL)
    }
    let output = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    let line = try #require(
      output.split(separator: "\n").last { $0.hasPrefix("folder ") }, "\(output)")
    let folder = String(line.dropFirst("folder ".count))
    try #require(folder.hasPrefix("/tmp/hawsepipe-vm-"))
    try await eventually("nothing is left of \(folder)") {
      !HostFiles.exists(folder) && Self.processes(naming: folder).isEmpty
    }
  }

  /// QEMU, vhost-device-vsock and the tethers name their folder.
  private static func processes(naming folder: String) -> [Int32] {
    HostFiles.pids.filter { HostFiles.text("/proc/\($0)/cmdline").contains(folder) }
  }

  @Test("A test that fails takes its guests with it")
  func testFails() async throws {
    struct Failure: Error {}
    let folder = Guarded("")
    await #expect(throws: Failure.self) {
      try await VirtualMachines.use(cids: [46], quietly: true) { machines in
        folder.set(machines.directory)
        try await machines.startDevices()
        try machines.machines[0].start("serve")
        try await eventually("the guest is powered on") { machines.machines[0].isPoweredOn }
        #expect(Self.processes(naming: machines.directory).count >= 3)
        throw Failure()
      }
    }
    try #require(folder.value.hasPrefix("/tmp/hawsepipe-vm-"))
    #expect(!HostFiles.exists(folder.value))
    #expect(Self.processes(naming: folder.value).isEmpty)
  }
}
