import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// `hawse events` at containerd's own event service, over gRPC.
@Suite("hawse events", .containerdReleases, .timeLimit(.minutes(3)))
struct HawseEventsTests {
  @Test("tells what ctr's own listener tells", arguments: ContainerdRelease.allCases)
  func containerd(_ release: ContainerdRelease) async throws {
    try await ContainerdFixture.use(release) { containerd in
      let (theirs, ours) = ("\(containerd.directory)/theirs", "\(containerd.directory)/ours")
      let reference = try containerd.listen(to: theirs)
      let output = try OwnedDescriptor(opening: ours, O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
      let events = try Command(
        HostFiles.product("hawse"),
        arguments: [
          "events", "--json", "--namespace", "default", "--address",
          "grpc+unix://\(containerd.socket)",
        ],
        environment: [], descriptors: [1: output.number]
      ).spawn()
      // Neither says when it is subscribed: a container is run until both have told of one.
      var rounds = 0
      try await eventually("both tell of a container") {
        rounds += 1
        let run = try await containerd.run("e\(rounds)", "/bin/true")
        #expect(run.code == 0, "\(run)")
        return [theirs, ours].allSatisfy { HostFiles.text($0).contains("/tasks/delete") }
      }
      let last = "\(containerd.mark)-e\(rounds + 1)"
      let run = try await containerd.run("e\(rounds + 1)", "/bin/true")
      #expect(run.code == 0, "\(run)")
      try await eventually("the last container's events are told") {
        [theirs, ours].allSatisfy { file in
          HostFiles.lines(file).contains { $0.contains("/containers/delete") && $0.contains(last) }
            || HostFiles.lines(file).filter { $0.contains("/containers/delete") }.count > rounds
        }
      }
      let expected = containerd.topics(of: "e\(rounds + 1)", in: theirs)
      #expect(expected.count >= 4)
      let told = HostFiles.lines(ours).filter { $0.contains("\"\(last)\"") }
      #expect(
        expected.allSatisfy { topic in
          told.contains {
            $0.contains("\"\(topic)\"") || $0.contains(topic.replacing("/", with: "\\/"))
          }
        }, "\(expected) \(told)")
      for child in [reference, events] {
        child.signal(SIGINT)
        _ = try await within(.seconds(30), "the end of a listener") { try await child.wait() }
      }
    }
  }
}
