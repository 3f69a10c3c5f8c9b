import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

@testable import OCIShim

@Suite("OCIRuntime")
struct OCIRuntimeTests {
  typealias Operation = RuntimeOperation

  @Test("command lines are runc's")
  func lines() throws {
    var options = RuntimeOptions()
    options.binaryName = "/bin/runc"
    options.root = "/r"
    let runtime = { OCIRuntime(options: options, namespace: "ns", directory: "/b") }
    func line(_ operation: Operation) throws -> String {
      let command = try runtime().command(operation, log: "/b/l")
      let all = command.arguments.joined(separator: " ")
      let globals = "--root /r/ns --log /b/l --log-format json "
      return all.hasPrefix(globals) ? String(all.dropFirst(globals.count)) : "!" + all
    }
    let create = Operation.create(id: "a", bundle: "/b", pidFile: "/b/p", consoleSocket: nil)
    #expect(try line(create) == "create --bundle /b --pid-file /b/p a")
    #expect(try line(.start(id: "a")) == "start a")
    #expect(
      try line(.exec(id: "a", process: "/p", pidFile: "/x", consoleSocket: "/s"))
        == "exec --process /p --console-socket /s --detach --pid-file /x a")
    #expect(try line(.kill(id: "a", signal: 9, all: true)) == "kill --all a 9")
    #expect(try line(.delete(id: "a", force: true)) == "delete --force a")
    #expect(try line(.processes(id: "a")) == "ps --format json a")
    #expect(try line(.update(id: "a")) == "update --resources=- a")
    var checkpoint = Operation.Checkpoint()
    checkpoint.imagePath = "/i"
    checkpoint.openTCP = true
    checkpoint.emptyNamespaces = ["network"]
    checkpoint.leaveRunning = true
    #expect(
      try line(.checkpoint(id: "a", checkpoint))
        == "checkpoint --image-path /i --tcp-established --empty-ns network --leave-running a")
    #expect(
      try line(.restore(id: "a", bundle: "/b", pidFile: "/p", consoleSocket: nil, .init()))
        == "restore --detach --pid-file /p --no-subreaper --bundle /b a")
    #expect(try line(.features) == "!features")

    options.systemdCgroup = true
    options.noPivotRoot = true
    options.noNewKeyring = true
    options.extraArguments = ["--debug"]
    #expect(
      try line(create)
        == "--systemd-cgroup --debug create --bundle /b --pid-file /b/p --no-pivot --no-new-keyring a"
    )
  }

  @Test("an error has the last words of the call's own log, which is gone afterwards")
  func ownWords() async throws {
    let fake = try FakeRuntime(
      """
      echo '{"level":"error","msg":"the first"}' > "$log"
      echo '{"level":"warning","msg":"no matter"}' >> "$log"
      printf '%s\\n' '{"level":"error","msg":" the second \\n"}' >> "$log"
      printf '{"level":"err' >> "$log"
      echo "on stderr" >&2
      exit 3
      """)
    let error = await #expect(throws: OCIShimError.self) {
      try await fake.runtime.run(.start(id: "a"))
    }
    #expect(error?.code == .runtimeFailed)
    #expect(error?.message == "OCI runtime start failed: the second")
    #expect(try fake.directory.names() == ["calls", "runtime"])
  }

  @Test("an error without a log has what was printed")
  func printed() async throws {
    let fake = try FakeRuntime("echo on stderr >&2; exit 3")
    let error = await #expect(throws: OCIShimError.self) {
      try await fake.runtime.run(.delete(id: "a", force: false))
    }
    #expect(error?.message.hasPrefix("failed to delete task: ") == true)
    #expect(error?.message.hasSuffix("exited with code 3: on stderr") == true)
  }

  @Test(
    "what is gone is known by its code",
    arguments: [
      "container not running", "os: process already finished", "container does not exist",
      "kill: No such process",
    ])
  func gone(words: String) async throws {
    let fake = try FakeRuntime("fail '\(words)'")
    let error = await #expect(throws: OCIShimError.self) {
      try await fake.runtime.run(.kill(id: "a", signal: 9, all: false))
    }
    #expect(error?.code == .processGone)
  }

  @Test("a runtime that hangs is killed and named", arguments: [false, true])
  func hung(detached: Bool) async throws {
    var fake = try FakeRuntime("sleep 1000")
    fake.options.commandTimeout = .milliseconds(200)
    let runtime = fake.runtime
    let error = await #expect(throws: OCIShimError.self) {
      try await runtime.run(.pause(id: "a"), descriptors: detached ? [:] : nil)
    }
    #expect(error?.code == .runtimeHung)
    #expect(error?.message.contains("runtime pause did not end within") == true)
  }

  @Test(
    "a missing runtime is named", arguments: ["hawsepipe-no-such-runtime", "/nonexistent/runc"])
  func missing(name: String) async throws {
    var options = RuntimeOptions()
    options.binaryName = name
    let runtime = OCIRuntime(options: options, namespace: "ns", directory: "/nonexistent")
    let error = await #expect(throws: OCIShimError.self) {
      try await runtime.run(.start(id: "a"))
    }
    #expect(error?.code == .runtimeNotFound)
    #expect(error?.message.contains(name) == true)
  }

  @Test("the environment is this process's, without NOTIFY_SOCKET")
  func environment() {
    #expect(OCIRuntime.environment().contains { $0.hasPrefix("PATH=") })
    #expect(!OCIRuntime.environment().contains { $0.hasPrefix("NOTIFY_SOCKET=") })
  }

  @Test("descriptors that are given are the runtime's standard ones")
  func descriptors() async throws {
    let fake = try FakeRuntime("echo hello; echo error >&2")
    let output = try Pipe()
    let number = output.writing.number
    try await fake.runtime.run(.start(id: "a"), descriptors: [1: number, 2: number])
    #expect(try output.reading.read(atMost: 12) == Array("hello\nerror\n".utf8))
  }

  @Test(
    "the list of processes is read",
    arguments: [("[1,22]", [1, 22]), ("null", []), ("[]", [])] as [(String, [Int32])])
  func processes(printed: String, pids: [Int32]) async throws {
    let fake = try FakeRuntime("echo '\(printed)'")
    #expect(try await fake.runtime.processes(of: "a") == pids)
  }

  @Test("runc itself says its version, and why it cannot start")
  func realRunc() async throws {
    let directory = try TemporaryDirectory()
    var options = RuntimeOptions()
    options.binaryName = "/usr/sbin/runc"
    options.root = "\(directory.path)/root"
    let runtime = OCIRuntime(options: options, namespace: "ns", directory: directory.path)
    let version = try await runtime.run(.version)
    #expect(String(decoding: version, as: UTF8.self).hasPrefix("runc version"))
    let error = await #expect(throws: OCIShimError.self) {
      try await runtime.run(.start(id: "nobody"))
    }
    #expect(error?.code == .processGone)
    #expect(error?.message.contains("does not exist") == true)
  }
}
