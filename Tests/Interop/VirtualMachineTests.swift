import Glibc
import ProcessSupervision
import Testing

/// A guest with a real AF_VSOCK: see Peers/vm.
@Suite(.serialized)
struct VirtualMachineTests {
  @Test func aGuestBootsRunsItsProgramAndPowersOff() async throws {
    try await VirtualMachines.use(cids: [42]) { machines in
      try await machines.startDevices()
      let began = ContinuousClock.now
      try machines.machines[0].start("hello")
      #expect(try await machines.machines[0].end() == 0)
      print("vm: booted, ran and powered off in \(ContinuousClock.now - began)")
    }
  }
}
