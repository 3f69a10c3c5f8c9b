import ContainerdClient
import Glibc
import ShimProtocol
import ShimTestKit
import Testing
import UnixTransport

@testable import ShimManagement

@Suite("Starting a shim by its binary")
struct ManagerStartTests {
  @Test(
    "the answer's address is dialled and recorded; a warning on standard error is no part of it")
  func starts() async throws {
    let fixture = try ManagerFixture()
    let shim = try fixture.shim()
    let binary = try fixture.binary(start: "echo 'a warning' >&2; printf 'unix://\(shim.path)'")
    let task = try await fixture.start("web", binary: binary)
    #expect(task.joined == .started)
    #expect(task.sandboxID == nil)
    #expect(try task.bundle.files.readShimBinaryPath() == binary)
    #expect(try task.bundle.files.readBootstrapParams().address == "unix://\(shim.path)")
    await fixture.manager.release(task)
    await shim.die()
  }

  @Test(
    "an answer that is none is an error that quotes it, and delete cleans up once",
    arguments: [
      ("exit 3", [": it exited with code 3", "printed nothing"]),
      ("echo 'no cgroup' >&2; exit 1", ["no cgroup"]),
      ("true", ["no address"]),
      ("echo 'deprecated!'; echo unix:///run/x.sock", ["deprecated!", "several lines"]),
      ("printf '{\"version\":'", ["version"]),
      (#"printf '{"version":4,"address":"/x","protocol":"ttrpc"}'"#, ["version 4"]),
      ("printf 'fd://3'", ["d://3", "may not use the transport"]),
    ])
  func fails(_ script: String, _ essentials: [String]) async throws {
    let fixture = try ManagerFixture()
    let binary = try fixture.binary(start: script)
    let error = await asyncFailure { _ = try await fixture.start("web", binary: binary) }
    let text = error?.description ?? ""
    for essential in essentials { #expect(text.contains(essential), "\(text)") }
    #expect(!fixture.hasBundle("web"))
    #expect(try fixture.runs(of: binary, "delete") == ["web"])
  }

  @Test("a start that hangs is ended after its limit, with all that it started")
  func hangs() async throws {
    let fixture = try ManagerFixture(limits: { $0.start = .milliseconds(300) })
    let note = "\(fixture.scratch.path)/pids"
    let binary = try fixture.binary(
      start: "sleep 1000 & echo $$ $! > \(note); echo 'waiting for the guest' >&2; wait")
    let error = await asyncFailure { _ = try await fixture.start("web", binary: binary) }
    #expect(error?.code == .timedOut, "\(error as Any)")
    #expect(error?.description.contains("waiting for the guest") == true, "\(error as Any)")
    #expect(!fixture.hasBundle("web"))
    let pids = try contents(note).split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
    #expect(pids.count == 2)
    for pid in pids {
      try await eventually("process \(pid) is gone") { kill(pid, 0) != 0 && errno == ESRCH }
    }
  }

  @Test("a shim that was started and cannot be used is told to end", arguments: [2, 3])
  func stray(_ version: Int) async throws {
    let fixture = try ManagerFixture(onStep: { step, bundles in
      if step == .connected { mkdir("\(bundles)/web/hawsepipe.json", 0o700) }
    })
    let shim = try fixture.shim(versions: [version])
    let binary = try fixture.binary(
      start:
        #"printf '{"version":\#(version),"address":"unix://\#(shim.path)","protocol":"ttrpc"}'"#)
    let error = await asyncFailure { _ = try await fixture.start("web", binary: binary) }
    #expect(error?.description.contains("hawsepipe.json") == true, "\(error as Any)")
    #expect(shim.calls == ["v\(version) Shutdown web"])
    #expect(!fixture.hasBundle("web"))
    await shim.die()
  }

  @Test("who cancels in the middle of a start leaves nothing behind")
  func cancelled() async throws {
    let fixture = try ManagerFixture()
    let binary = try fixture.binary(start: "echo $$ > \"$0.pid\"; sleep 1000")
    let start = Task { try await fixture.start("web", binary: binary) }
    try await eventually("the binary runs") {
      try exists("\(binary).pid") && !contents("\(binary).pid").isEmpty
    }
    start.cancel()
    let error = await asyncFailure { _ = try await start.value }
    #expect(error?.code == .cancelled, "\(error as Any)")
    #expect(!fixture.hasBundle("web"))
    #expect(try fixture.runs(of: binary, "delete") == ["web"])
    let pid = try #require(
      Int32(try contents("\(binary).pid").split(whereSeparator: \.isWhitespace)[0]))
    try await eventually("the binary is gone") { kill(pid, 0) != 0 }
  }

  @Test("a shim that starts and answers nothing is bounded, and nothing of it is left")
  func muteAfterStart() async throws {
    let fixture = try ManagerFixture(limits: { limits in
      limits.connect = .milliseconds(500)
      limits.cleanup = .seconds(5)
      limits.shutdown = .milliseconds(200)
      limits.query = .milliseconds(200)
    })
    let path = fixture.socket("mute.sock")
    let mute = try muteSocket(at: path)
    defer { mute.close() }
    let binary = try fixture.binary(start: "printf 'unix://\(path)'")
    let error = await asyncFailure { _ = try await fixture.start("web", binary: binary) }
    #expect(error?.code == .timedOut, "\(error as Any)")
    #expect(!fixture.hasBundle("web"))
  }
}
