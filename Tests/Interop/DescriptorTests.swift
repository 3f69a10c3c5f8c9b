import Glibc
import ProcessSupervision
import Testing

/// Our .proto files against those in Debian's packages of containerd: every message, enumeration and
/// service of ours that exists there has the same fields, values and methods.
///
/// What is compared is the union of two releases, 1.6 (bookworm) and 2.1 or newer (forky). A release
/// may lack what another has; every such difference is in a list here, by name.
@Suite("Descriptors of containerd's interface")
struct DescriptorTests {
  /// Ours that a release does not have yet.
  private static let notIn: [String: Set<String>] = [
    "bookworm": newStatistics.union(pressure).union([
      // Task v3 came with containerd 2.0.
      "containerd.task.v3",
      "containerd.runc.v1.Options.task_api_address", "containerd.runc.v1.Options.task_api_version",
      "runtimeoptions.v1.Options.config_body",
      // The sandbox came with containerd 1.7.
      "containerd.runtime.sandbox.v1", "containerd.types.Platform", "containerd.types.Metric",
      "containerd.services.sandbox.v1", "containerd.types.Sandbox",
      "containerd.events.SandboxCreate", "containerd.events.SandboxStart",
      "containerd.events.SandboxExit",
      // Its envelope was a message of its own then.
      "containerd.services.events.v1",
      // What -info prints: containerd 2.0.
      "containerd.types.RuntimeInfo", "containerd.types.RuntimeVersion",
      // containerd 2.3.
      "containerd.runtime.bootstrap.v1",
      // gRPC's own.
      "grpc.health.v1",
    ]),
    "forky": newStatistics.union([
      // containerd 2.3.
      "containerd.runtime.bootstrap.v1", "containerd.runtime.sandbox.v1.StartSandboxResponse.spec",
      "containerd.types.Platform.os_features",
      "containerd.services.sandbox.v1.ControllerStartResponse.spec",
      "containerd.runtime.sandbox.v1.Sandbox.UpdateSandbox",
      "containerd.runtime.sandbox.v1.UpdateSandboxRequest.fields",
      "containerd.runtime.sandbox.v1.UpdateSandboxRequest.sandbox",
      "grpc.health.v1",
    ]),
  ]

  /// Of containerd's cgroups 3.1.
  private static let newStatistics = Set(
    [
      "CPUStat.burst_usec", "CPUStat.nr_bursts", "HugeTlbStat.failcnt",
      "MemoryEvents.oom_group_kill", "MemoryStat.workingset_activate_anon",
      "MemoryStat.workingset_activate_file", "MemoryStat.workingset_refault_anon",
      "MemoryStat.workingset_refault_file", "Metrics.network", "NetworkStat",
    ].map { "io.containerd.cgroups.v2." + $0 })

  /// Of cgroups 3.0.
  private static let pressure = Set(
    [
      "CPUStat.psi", "IOStat.psi", "MemoryStat.max_usage", "MemoryStat.psi",
      "MemoryStat.swap_max_usage", "PSIData", "PSIStats",
    ].map { "io.containerd.cgroups.v2." + $0 })

  /// Of which no release that is compared has anything.
  private static let inNone = [
    "containerd.runtime.bootstrap.v1.", "io.containerd.cgroups.v2.NetworkStat", "grpc.health.v1.",
  ]

  /// Theirs that we left out, because no release that is spoken to uses it.
  private static let leftOut: [String: Set<String>] = [
    // Its number is reserved later, in ours as well.
    "bookworm": ["containerd.runc.v1.Options.criu_path"],
    "forky": [],
  ]

  /// Messages that were in another package then, with the same fields: no message's name travels.
  private static let moved: [String: [String: String]] = [
    "bookworm": ["containerd.services.events.ttrpc.v1.Envelope": "containerd.types.Envelope"]
  ]

  @Test("numbers, types, labels and names are containerd's", .timeLimit(.minutes(5)))
  func containerd() async throws {
    let folder = try await Self.makeDescriptors()
    let ours = try DescriptorIndex(files: ["\(folder)/ours.binpb"])
    #expect(ours.messages.count > 60 && ours.services.count == 7)

    var found: Set<String> = []
    for (suite, count) in [("bookworm", 4), ("forky", 3)] {
      var theirs = try DescriptorIndex(
        files: (1...count).map { "\(folder)/\(suite)-\($0).binpb" })
      for (name, current) in Self.moved[suite, default: [:]] {
        let isThere = theirs.move(name, to: current)
        #expect(isThere, "\(suite) has no \(name) any more")
      }
      let comparison = DescriptorComparison(ours: ours, theirs: theirs)
      found.formUnion(comparison.common)
      #expect(comparison.different == [], "\(suite): not the same there")
      let missing = comparison.onlyOurs.filter { name in
        !Self.notIn[suite, default: []].contains { name == $0 || name.hasPrefix($0 + ".") }
      }
      #expect(missing == [], "\(suite): not there, and not in the list of what it lacks")
      let unlisted = comparison.onlyTheirs.filter { !Self.leftOut[suite, default: []].contains($0) }
      #expect(
        unlisted == [], "\(suite): there, and neither ours nor in the list of what we left out")
      // The lists hold what is so, and no more.
      for name in Self.notIn[suite, default: []] {
        #expect(
          comparison.onlyOurs.contains { $0 == name || $0.hasPrefix(name + ".") },
          "\(suite) has \(name) by now")
      }
      for name in Self.leftOut[suite, default: []] {
        #expect(comparison.onlyTheirs.contains(name), "\(suite) has no \(name) any more")
      }
    }
    let unseen = ours.names.subtracting(found).sorted()
    #expect(
      unseen.allSatisfy { name in Self.inNone.contains { name.hasPrefix($0) } },
      "in neither release: \(unseen)")
    for package in [
      "containerd.task.v2", "containerd.task.v3", "containerd.events", "containerd.types",
      "containerd.v1.types", "containerd.runc.v1", "containerd.services.events.ttrpc.v1",
      "runtimeoptions.v1", "containerd.runtime.sandbox.v1", "containerd.services.sandbox.v1",
      "containerd.services.events.v1", "io.containerd.cgroups.v1",
      "io.containerd.cgroups.v2",
    ] {
      #expect(found.contains { $0.hasPrefix(package + ".") }, "nothing of \(package) was compared")
    }
  }

  @Test("Task v3 is Task v2 in another package", .timeLimit(.minutes(5)))
  func taskVersions() async throws {
    let folder = try await Self.makeDescriptors()
    let ours = try DescriptorIndex(files: ["\(folder)/ours.binpb"])
    let v2 = ours.restricted(to: "containerd.task.v2", renamedTo: "containerd.task.v3")
    let v3 = ours.restricted(to: "containerd.task.v3", renamedTo: "containerd.task.v3")
    #expect(!v2.messages.isEmpty && !v2.services.isEmpty)
    #expect(v2 == v3)
  }

  /// Runs the script beside this file, which has a lock of its own against running twice.
  private static func makeDescriptors() async throws -> String {
    let here = #filePath
    let slash = try #require(here.lastIndex(of: "/"))
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
    let command = Command(
      "/bin/bash", arguments: ["\(here[..<slash])/Peers/descriptors/fetch"],
      environment: ["PATH=\(path)", "LC_ALL=C.UTF-8"])
    let output = try await command.run(timeout: .seconds(240))
    let text = String(decoding: output.standardOutput, as: UTF8.self)
    let errors = String(decoding: output.standardError, as: UTF8.self)
    try #require(output.status == .exited(0), "\(text)\(errors)")
    return try String(#require(text.split(separator: "\n").last))
  }
}
