import ExecTransport
import Glibc
import NIOCore
import Testing
import TransportCore

@Suite struct ExecEndingTests {
  @Test("A command that does not heed its input's end gets SIGTERM, with its whole group")
  func terminated() async throws {
    let command = try await CommandConnection.open(
      "sh", "-c", "sleep 1000 & echo $!; wait", options: .impatient)
    let sleeper = Int32((await command.read(2)).filter(\.isNumber)) ?? 0
    #expect(isRunning(sleeper))
    try await command.close()
    #expect(!isRunning(command.pid))
    try await eventually("its child is gone") { !isRunning(sleeper) }
  }

  @Test("A command that ignores SIGTERM gets SIGKILL")
  func killed() async throws {
    let command = try await CommandConnection.open(
      "sh", "-c", "trap '' TERM; echo set; while :; do sleep 1; done", options: .impatient)
    #expect(await command.read(4) == "set\n")
    try await command.close()
    #expect(!isRunning(command.pid))
  }

  @Test("A command that does not stop writing is ended, too")
  func writer() async throws {
    let command = try await CommandConnection.open("yes", options: .impatient)
    #expect(await command.read(2).hasPrefix("y\n"))
    try await command.close()
    #expect(!isRunning(command.pid))
  }

  @Test("A command that does not read is ended in spite of what is unwritten")
  func unread() async throws {
    let command = try await CommandConnection.open("sleep", "1000", options: .impatient)
    let written = command.channel.eventLoop.makePromise(of: Void.self)
    command.channel.writeAndFlush(ByteBuffer(repeating: 0, count: 1 << 20), promise: written)
    try await command.close()
    #expect(!isRunning(command.pid))
    await #expect(throws: (any Error).self) { try await written.futureResult.get() }
  }

  @Test("A close is complete when the command has ended, however often it is asked for")
  func closes() async throws {
    let command = try await CommandConnection.open("sh", "-c", "cat; sleep 0.2")
    async let first: Void = command.close()
    async let second: Void = command.close()
    _ = try await (first, second)
    #expect(!isRunning(command.pid))
  }

  @Test("A cancelled connect leaves no process")
  func cancelled() async throws {
    let (pids, pid) = AsyncStream<Int32>.makeStream()
    let dialing = Task {
      try await ExecConnector(options: ExecOptions(settle: .seconds(600))).connect(
        to: address(["sleep", "1000"]), options: .patient(policy: .telling(pid))
      ) { _ in }
    }
    for await pid in pids {
      #expect(isRunning(pid))
      dialing.cancel()
      let error = await #expect(throws: TransportError.self) { _ = try await dialing.value }
      #expect(error?.code == .cancelled)
      try await eventually("the command is gone") { !isRunning(pid) }
      break
    }
  }

  @Test("A configure that throws ends the command")
  func configureThrows() async throws {
    let (pids, pid) = AsyncStream<Int32>.makeStream()
    let error = await #expect(throws: TransportError.self) {
      _ = try await ExecConnector().connect(
        to: address(["sleep", "1000"]), options: .patient(policy: .telling(pid))
      ) { _ in throw Failure(what: "no") }
    }
    #expect(error?.code == .connectFailed)
    for await pid in pids {
      try await eventually("the command is gone") { !isRunning(pid) }
      break
    }
  }

  @Test("Commands one after the other leave no process")
  func many() async throws {
    var pids: [Int32] = []
    for _ in 0..<50 {
      let command = try await CommandConnection.open("cat")
      pids.append(command.pid)
      try await command.close()
    }
    #expect(pids.allSatisfy { !isRunning($0) })
  }
}

extension PeerPolicy {
  /// Allows everybody, and tells who asked.
  fileprivate static func telling(_ pids: AsyncStream<Int32>.Continuation) -> PeerPolicy {
    PeerPolicy(name: "anyone, told") { peer in
      pids.yield(peer.command?.pid ?? 0)
      return true
    }
  }
}
