import Glibc
import ShimTestKit
import Testing

@testable import ShimManagement

@Suite("A state directory that one program looks after")
struct StateDirectoryHoldTests {
  @Test("a second one is told who has it, and gets it when that one lets go")
  func second() throws {
    let scratch = try Scratch()
    try scratch.state.open()
    let hold = try scratch.state.holdExclusively(as: "hawse serve")
    let error = failure { _ = try scratch.state.holdExclusively(as: "another") }
    #expect(error?.code == .busy)
    let text = error?.description ?? ""
    #expect(text.contains("hawse serve") && text.contains("process \(getpid())"), "\(text)")
    #expect(text.contains("since 2"), "\(text)")
    #expect(error?.hint?.isEmpty == false)
    hold.release()
    hold.release()
    let next = try scratch.state.holdExclusively(as: "another")
    next.release()
    #expect(!exists("\(scratch.state.locks)/holder"))
  }

  @Test("whoever forgets it lets go of it")
  func forgotten() throws {
    let scratch = try Scratch()
    try scratch.state.open()
    do { _ = try scratch.state.holdExclusively(as: "one") }
    try scratch.state.holdExclusively(as: "two").release()
  }

  @Test("commands on single bundles go on beside it")
  func beside() async throws {
    let fixture = try ManagerFixture()
    let hold = try fixture.scratch.state.holdExclusively(as: "hawse serve")
    let shim = try fixture.shim()
    let task = try await fixture.attach("web", to: shim)
    #expect(try await fixture.manager.list(namespace: ManagerFixture.namespace).count == 1)
    try await fixture.manager.delete(task)
    hold.release()
    await shim.die()
  }

  @Test(
    "a note that is damaged, or none, is a holder without a name", arguments: ["", "x", "1\n2"])
  func notes(_ text: String) {
    #expect(HolderNote(text) == nil)
  }
}
