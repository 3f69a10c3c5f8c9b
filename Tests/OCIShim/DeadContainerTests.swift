import Glibc
import LinuxSystem
import ProcessSupervision
import SwiftProtobuf
import Synchronization
import Testing

@testable import OCIShim
@testable import ShimKit

/// With the real runc, which knows no such container.
@Suite("DeadContainer")
struct DeadContainerTests {
  private func cleanUp(
    _ write: (Journal) throws -> Void = { _ in }
  ) async throws -> (TaskEnd, said: [String]) {
    let bundle = try TemporaryDirectory()
    let namespace = "dead\(bundle.path.suffix(6))"
    defer { rmdir("/run/containerd/runc/\(namespace)") }
    try write(Journal(bundle: bundle.path))
    let said = Mutex<[String]>([])
    let end = try await DeadContainer(
      ShimDeleteRequest(
        namespace: namespace, id: "gone", bundle: bundle.path, debug: false, daemonAddress: "",
        environment: [:]),
      say: { text in said.withLock { $0.append(text) } }
    ).cleanUp()
    return (end, said.withLock { $0 })
  }

  private func record(_ change: (inout JournalRecord) -> Void) -> JournalRecord {
    var record = JournalRecord(id: "gone", namespace: "ns")
    change(&record)
    return record
  }

  @Test("without a journal it is said that the end is not known")
  func noJournal() async throws {
    let (end, said) = try await cleanUp()
    #expect(end.status == 255)
    #expect(said.count == 1 && said[0].contains("has no journal"), "\(said)")
  }

  @Test("the journalled end is given, and nothing more to say")
  func journalled() async throws {
    let (end, said) = try await cleanUp { journal in
      try journal.write(
        record {
          $0.initProcess = .init(pid: 4_000_000, startTime: 5)
          $0.exit = ProcessEnd(status: 7, time: WallTime(seconds: 8, nanoseconds: 9))
        })
    }
    #expect(end.status == 7 && end.pid == 4_000_000 && end.at.seconds == 8 && said == [])
  }

  @Test("one that ended when no shim looked is not known, and one that runs is killed")
  func unseen() async throws {
    let (gone, said) = try await cleanUp { journal in
      try journal.write(record { $0.initProcess = .init(pid: getpid(), startTime: 5) })
    }
    #expect(gone.status == 255 && said.first?.contains("before the container's end") == true)
    // Whom the runtime does not know it ends itself.
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let startTime = try #require(ProcessStatus(pid: child.pid)?.startTime)
    let (alive, words) = try await cleanUp { journal in
      try journal.write(record { $0.initProcess = .init(pid: child.pid, startTime: startTime) })
    }
    #expect(alive.status == 137 && words.first?.contains("is killed now") == true)
    #expect(try await child.wait() == .signalled(SIGKILL))
  }

  @Test("a logger that goes on behind the end of its input is ended")
  func logger() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let startTime = try #require(ProcessStatus(pid: child.pid)?.startTime)
    _ = try await cleanUp { journal in
      try journal.write(record { $0.loggers[""] = .init(pid: child.pid, startTime: startTime) })
    }
    #expect(try await child.wait() == .signalled(SIGTERM))
  }

  @Test("without its runtime all is ended and removed that can be, and then it is said")
  func noRuntime() async throws {
    let child = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let startTime = try #require(ProcessStatus(pid: child.pid)?.startTime)
    let logger = try Command("/bin/sleep", arguments: ["1000"]).spawn()
    let loggerTime = try #require(ProcessStatus(pid: logger.pid)?.startTime)
    var console = ""
    let error = await #expect(throws: OCIShimError.self) {
      try await cleanUp { journal in
        // As a shim that was killed leaves it.
        console = try Self.leftConsole(of: journal.bundle)
        try journal.write(
          record {
            $0.options.binaryName = "/none"
            $0.initProcess = .init(pid: child.pid, startTime: startTime)
            $0.loggers[""] = .init(pid: logger.pid, startTime: loggerTime)
          })
      }
    }
    #expect(error?.code == .runtimeNotFound)
    #expect(try await child.wait() == .signalled(SIGKILL))
    #expect(try await logger.wait() == .signalled(SIGTERM))
    #expect(console != "" && access(console, F_OK) != 0)
  }

  /// - Returns: its directory.
  private static func leftConsole(of bundle: String) throws -> String {
    let directory: String
    do {
      let socket = try ConsoleSocket(bundle: bundle)
      directory = String(socket.path.dropLast(2))
    }
    try #require(access(directory, F_OK) != 0 && mkdir(directory, 0o700) == 0)
    let file = try OwnedDescriptor(opening: "\(directory)/s", O_WRONLY | O_CREAT, mode: 0o600)
    try file.close()
    return directory
  }

  @Test("a damaged journal is an error, and no status is made up")
  func damaged() async throws {
    let error = await #expect(throws: OCIShimError.self) {
      try await cleanUp { journal in
        let file = try OwnedDescriptor(
          opening: "\(journal.bundle)/\(Journal.fileName)", O_WRONLY | O_CREAT, mode: 0o600)
        try file.write(Array("{\"format\":1".utf8))
      }
    }
    #expect(error?.code == .damagedState)
  }

  @Test("a cgroup that a runtime left behind is removed, and one with a process in it stays")
  func cgroup() async throws {
    let name = "/hawse-remains-\(getpid())"
    let directories = CgroupRemains.directories(of: "/").filter { access($0, W_OK) == 0 }
      .map { String($0.dropLast()) + name }
    let made = directories.filter { mkdir($0, 0o755) == 0 }
    try #require(!made.isEmpty, "a cgroup needs root")
    defer { for directory in made { rmdir(directory) } }
    mkdir("\(made[0])/below", 0o755)
    let bundle = try TemporaryDirectory()
    try bundle.write("config.json", "{\"linux\":{\"cgroupsPath\":\"\(name)\"}}")
    await CgroupRemains.remove(bundle: bundle.path)
    #expect(made.filter { access($0, F_OK) == 0 } == [])
    try bundle.write("config.json", "{\"linux\":{\"cgroupsPath\":\"/..\(name)\"}}")
    mkdir(made[0], 0o755)
    await CgroupRemains.remove(bundle: bundle.path)
    #expect(access(made[0], F_OK) == 0)
  }
}
