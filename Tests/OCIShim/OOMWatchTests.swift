import Glibc
import ProcessSupervision
import Synchronization
import Testing

@testable import OCIShim

/// With real cgroups, which root can make.
@Suite("OOMWatch", .serialized, .timeLimit(.minutes(2)))
struct OOMWatchTests {
  /// A cgroup of its own with a limit of 16 MiB, until the body ends.
  private func withCgroup(_ body: (CgroupLocation, String) async throws -> Void) async throws {
    let name = "hawse-oom-\(getpid())"
    let location: CgroupLocation
    let directory: String
    let limit: String
    switch try CgroupLocation.ofProcess(getpid()) {
    case .unified(let path):
      directory = "\(path)/\(name)"
      location = .unified(directory)
      limit = "memory.max"
    case .separate(let directories):
      directory = "\(try #require(directories["memory"]))/\(name)"
      location = .separate(["memory": directory])
      limit = "memory.limit_in_bytes"
    }
    try #require(mkdir(directory, 0o755) == 0, "a cgroup needs root: \(errno)")
    defer { rmdir(directory) }
    try write("\(16 << 20)", to: "\(directory)/\(limit)")
    // Swapping instead is no kill.
    for (file, value) in [("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", "\(16 << 20)")]
    {
      // Not every kernel has them.
      if access("\(directory)/\(file)", F_OK) == 0 { try write(value, to: "\(directory)/\(file)") }
    }
    try await body(location, directory)
  }

  private func write(_ text: String, to path: String) throws {
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    try #require(fputs(text, file) >= 0)
    try #require(fflush(file) == 0)
  }

  /// Something that takes as much memory as it gets, in the cgroup.
  private func eat(in directory: String) async throws -> ProcessSupervision.ExitStatus {
    let command = Command(
      "/bin/sh",
      arguments: [
        "-c",
        "echo $$ >\(directory)/cgroup.procs && exec /usr/bin/python3 -c 'bytearray(200 << 20)'",
      ])
    return try await command.run(timeout: .seconds(30)).status
  }

  @Test("a kill is told, at the latest when the watch is stopped; afterwards nothing is")
  func kill() async throws {
    try await withCgroup { location, directory in
      let told = Mutex(0)
      let watch = try OOMWatch(location) { told.withLock { $0 += 1 } }
      #expect(told.withLock { $0 } == 0)
      #expect(try await eat(in: directory) == .signalled(SIGKILL))
      watch.stop()
      #expect(told.withLock { $0 } == 1)
      #expect(try await eat(in: directory) == .signalled(SIGKILL))
      watch.stop()
      #expect(told.withLock { $0 } == 1)
    }
  }

  @Test("a kill is told while the container goes on")
  func told() async throws {
    try await withCgroup { location, directory in
      let (kills, continuation) = AsyncStream.makeStream(of: Void.self)
      let watch = try OOMWatch(location) { continuation.yield() }
      defer { watch.stop() }
      try #require(try await eat(in: directory) == .signalled(SIGKILL))
      var iterator = kills.makeAsyncIterator()
      #expect(await iterator.next() != nil)
    }
  }

  @Test("kills of before are not told, and a watch that nobody holds is no leak")
  func before() async throws {
    try await withCgroup { location, directory in
      #expect(try await eat(in: directory) == .signalled(SIGKILL))
      let told = Mutex(0)
      for _ in 0..<100 { _ = try OOMWatch(location) { told.withLock { $0 += 1 } } }
      let watch = try OOMWatch(location) { told.withLock { $0 += 1 } }
      watch.stop()
      #expect(told.withLock { $0 } == 0)
    }
  }

  @Test("a cgroup that is not there is an error")
  func gone() {
    for location in [
      CgroupLocation.unified("/sys/fs/cgroup/not/there"), .separate(["memory": "/not/there"]),
      .separate([:]),
    ] {
      let error = #expect(throws: OCIShimError.self) { try OOMWatch(location) {} }
      #expect(error?.code == .cgroupGone)
    }
  }
}
