import Glibc
import ShimManagement
import Testing

extension RealShim {
  @Suite("events of the shim")
  struct Events {
    @Test(
      "arrive while a hawse runs, at the next one when that ends, and are refused when none does",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func events(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        try await hawse.sleeper("one", in: "pod1")
        #expect(Self.connectError(hawse) == ECONNREFUSED)

        let first = try hawse.start("task", "wait", "--debug", "one")
        try await eventually("the first one listens") { Self.connectError(hawse) == nil }
        let second = try hawse.start("task", "wait", "--debug", "one")
        try await eventually("both wait") { hawse.connectionsToShims == 2 }
        try await hawse.sleeper("two", in: "pod1")
        for topic in ["/tasks/create", "/tasks/start"] {
          try await eventually("\(topic) comes") { first.err.contains("topic=\(topic)") }
        }
        #expect(!second.err.contains("topic="))

        try await first.kill()
        try await eventually("the second one listens") { Self.connectError(hawse) == nil }
        #expect(try await hawse.hawse("task", "rm", "--force", "two").code == 0)
        for topic in ["/tasks/exit", "/tasks/delete"] {
          try await eventually("\(topic) comes") { second.err.contains("topic=\(topic)") }
        }

        #expect(try await hawse.hawse("task", "kill", "--signal", "KILL", "one").code == 0)
        #expect(try await second.result().out == "137\n")
        #expect(Self.connectError(hawse) == ECONNREFUSED)
      }
    }

    /// What a shim gets that connects to the events address; `nil` when it is accepted.
    private static func connectError(_ hawse: HawseFixture) -> Int32? {
      let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      defer { close(descriptor) }
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { bytes in
        bytes.copyBytes(from: Array(hawse.stateDirectory.eventsSocket.utf8))
      }
      let length = socklen_t(MemoryLayout<sockaddr_un>.size)
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, length)
        }
      }
      return result == 0 ? nil : errno
    }
  }
}
