import ContainerdAPI
import GRPCTransport
import Glibc
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import Synchronization
import TTRPC
import Testing
import TransportCore
import UnixTransport

/// A server that is killed and started again all the time, with callers that do not stop. `Benchmarks/grpc
/// --storm 60` does it for a minute, with more calls.
@Suite("A server that is killed under load", .ttrpcPeers, .timeLimit(.minutes(5)))
struct ServerStormTests {
  @Test(
    "each call ends once, and what it took is given back",
    arguments: TransportAddress.RPCProtocol.allCases)
  func killed(_ rpc: TransportAddress.RPCProtocol) async throws {
    let program = "\(try await TTRPCPeer.folder())/sandbox-peer"
    let folder = try PeerFolder()
    defer { folder.remove() }
    // In a process of its own, whose memory is nobody else's.
    let result = await #expect(
      processExitsWith: .success, observing: [\.standardOutputContent]
    ) {
      [program = program as String, socket = folder.socket as String, rpc = rpc.rawValue as String]
      in
      let rpc = try #require(TransportAddress.RPCProtocol(rawValue: rpc))
      do {
        try await ServerStorm(program: program, socket: socket, rpc: rpc).prove()
      } catch {
        // Of a process that fails nothing is observed.
        print("failed: \(error)")
        fflush(nil)
      }
    }
    let said = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
    #expect(!said.contains("failed: "), "\(said)")
  }
}

private struct ServerStorm: Sendable {
  let program: String
  let socket: String
  let rpc: TransportAddress.RPCProtocol

  private static let callers = 16
  private static let lifetime = Duration.milliseconds(500)
  /// What a call may take: none comes near, unless it hangs.
  private static let timeout = Duration.seconds(60)

  private struct Failure: Error, CustomStringConvertible { var description: String }

  func prove() async throws {
    let address = TransportAddress(rpc: rpc, place: .unix(path: socket))
    let connectors = TransportRegistry([UnixConnector()])
    switch rpc {
    case .grpc:
      let client = GRPCRedialingClient(to: address, using: connectors)
      try await prove(with: client)
      await client.close()
    case .ttrpc:
      let client = TTRPCRedialingClient(to: address, using: connectors)
      try await prove(with: client)
      await client.close()
    }
  }

  private func prove(with client: some RPCCaller) async throws {
    // Pools, tables and caches grow to their size first.
    try await storm(client, kills: 6)
    let before = try await footprint()
    try await storm(client, kills: 20)
    let after = try await footprint()
    try need(after.descriptors <= before.descriptors, "descriptors: \(before), then \(after)")
    try need(after.memory <= before.memory + (4 << 20), "memory: \(before), then \(after)")
  }

  private func need(_ isMet: Bool, _ what: String) throws {
    guard isMet else { throw Failure(description: what) }
  }

  // MARK: Calls

  private final class Tally: Sendable {
    let begun = Atomic<Int>(0)
    let answered = Atomic<Int>(0)
    let lost = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    let strange = Mutex<[String]>([])
  }

  private func storm(_ client: some RPCCaller, kills: Int) async throws {
    let tally = Tally()
    try await within(.seconds(240), "the end of all calls") {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<Self.callers { group.addTask { await call(client, index, tally) } }
        try await killServers(kills, tally)
        try await group.waitForAll()
      }
    }
    let (begun, answered) = (
      tally.begun.load(ordering: .relaxed), tally.answered.load(ordering: .relaxed)
    )
    try need(begun == answered + tally.lost.load(ordering: .relaxed), "a call did not end once")
    try need(answered > 0, "no call of \(begun) was answered")
    let strange = tally.strange.withLock { $0 }
    try need(strange.isEmpty, "\(strange.count) calls, such as: \(strange.first ?? "")")
  }

  /// Asks for tasks that are not there: the answer names the one that was asked for.
  private func call(_ client: some RPCCaller, _ index: Int, _ tally: Tally) async {
    let method = RPCMethod(service: "containerd.task.v3.Task", name: "State")
    var number = index
    while !tally.isOver.load(ordering: .relaxed) {
      number += Self.callers
      let id = "task-\(number)-"
      tally.begun.add(1, ordering: .relaxed)
      do throws(RPCError) {
        _ = try await client.unary(
          method, Containerd_Task_V3_StateRequest.with { $0.id = id },
          returning: Containerd_Task_V3_StateResponse.self,
          options: RPCCallOptions(timeout: Self.timeout))
        tally.strange.withLock { $0.append("\(id) is there") }
      } catch {
        switch error.reason {
        case .status where error.message.contains(id):
          tally.answered.add(1, ordering: .relaxed)
          continue
        case .connectionClosed: tally.lost.add(1, ordering: .relaxed)
        default: tally.strange.withLock { $0.append("\(id) ended with \(error.reason): \(error)") }
        }
        // As callers do, who would else fail a million times while there is no server.
        try? await Task.sleep(for: .milliseconds(2))
      }
    }
  }

  // MARK: The server

  private func killServers(_ kills: Int, _ tally: Tally) async throws {
    defer { tally.isOver.store(true, ordering: .relaxed) }
    for _ in 0..<kills {
      let server = try Command(
        program, arguments: ["serve", rpc.rawValue, "unix:\(socket)"],
        parentDeathSignal: SIGKILL
      ).spawn()
      // Cancelled, it still has to go.
      try? await Task.sleep(for: Self.lifetime)
      server.signal(SIGKILL)
      _ = try await server.wait()
      unlink(socket)
    }
  }

  // MARK: Memory

  private struct Footprint {
    /// Bytes of memory that is no file's.
    var memory: Int
    var descriptors: Int
  }

  private func footprint() async throws -> Footprint {
    try await Task.sleep(for: .seconds(1))
    typealias Trim = @convention(c) (Int) -> Int32
    // glibc's, of which Swift sees no declaration: what is free goes back to the kernel.
    if let trim = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(trim, to: Trim.self)(0) }
    let line = HostFiles.lines("/proc/self/status").first { $0.hasPrefix("RssAnon:") }
    guard let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first,
      let kibibytes = Int(kibibytes)
    else { throw Failure(description: "no RssAnon in /proc/self/status") }
    return Footprint(
      memory: kibibytes << 10, descriptors: HostFiles.names(in: "/proc/self/fd").count)
  }
}
