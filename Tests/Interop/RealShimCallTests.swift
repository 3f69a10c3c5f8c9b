import JSON
import ShimManagement
import Testing

extension RealShim {
  @Suite("call and ping")
  struct Calls {
    @Test(
      "hawse call speaks to it with JSON, JSON within an Any included", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func call(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let address = try #require(try await hawse.sandboxes().first?.sandbox.address)
        func call(_ method: String, _ data: String) async throws -> (code: Int32, JSONValue) {
          let output = try await hawse.bare([
            "call", "--json", "--namespace", hawse.namespace, address,
            "containerd.task.v2.Task/\(method)", "--data", data,
          ])
          return (output.code, try JSONValue(parsing: output.out.utf8))
        }

        let state = try await call("State", #"{"id": "pod1"}"#)
        #expect(state.code == 0 && state.1["status"]?.string == "RUNNING", "\(state)")
        let process = #"{"args": ["/bin/sleep", "3600"], "cwd": "/"}"#
        let exec = try await call(
          "Exec",
          """
          {"id": "pod1", "execId": "e1", "spec": {"value": \(process),
            "@type": "types.containerd.io/opencontainers/runtime-spec/1/Process"}}
          """)
        #expect(exec == (0, [:]))
        let started = try await call("Start", #"{"id": "pod1", "exec_id": "e1"}"#)
        let pid = try #require(started.1["pid"]?.integer, "\(started)")
        let pids = try await call("Pids", #"{"id": "pod1"}"#)
        let details = try #require(pids.1["processes"]?.array?.first { $0["pid"]?.integer == pid })
        #expect(details["info", "@type"]?.string == "containerd.runc.v1.ProcessDetails")
        #expect(details["info", "execId"]?.string == "e1")
        let stats = try await call("Stats", #"{"id": "pod1"}"#)
        #expect(stats.1["stats", "@type"]?.string?.contains("cgroups") == true, "\(stats)")

        let none = try await call("State", #"{"id": "none"}"#)
        #expect(none.code == 1 && none.1["error", "code"]?.string == "NotFound", "\(none)")
      }
    }

    @Test(
      "hawse ping is answered, though it serves nothing of that name", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func ping(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let address = try #require(try await hawse.sandboxes().first?.sandbox.address)
        let result = try await hawse.bare([
          "ping", "-c", "5", "-i", "0", "--timeout", "50", address,
        ])
        #expect(result.code == 0 && result.out.contains("5 sent, 5 answered, 0% lost"), "\(result)")
      }
    }
  }
}
