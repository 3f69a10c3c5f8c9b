import GRPCTransport
import Glibc
import Measuring
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import Synchronization
import TTRPC
import TransportCore
import UnixTransport

/// Calls without pause to a server that is killed and started every second: each must end, once, and
/// what it took must be given back.
struct Storm: Sendable {
  private let rpc: TransportAddress.RPCProtocol
  private let path: String
  private let seconds: Int
  private let inFlight: Int

  /// What a call may take. One that takes much longer hangs.
  private static let timeout = Duration.seconds(5)
  private static let patience = Duration.seconds(20)

  init(_ arguments: [String]) throws {
    guard let rpc = TransportAddress.RPCProtocol(rawValue: arguments[0]) else {
      throw Problem("\(arguments[0]) is no protocol")
    }
    self.rpc = rpc
    path = arguments[1]
    seconds = try number(arguments[2])
    inFlight = try number(arguments[3])
  }

  func run() async throws {
    let address = TransportAddress(rpc: rpc, place: .unix(path: path))
    let connectors = TransportRegistry([UnixConnector()])
    switch rpc {
    case .grpc:
      let client = GRPCRedialingClient(to: address, using: connectors)
      try await run(client)
      await client.close()
    case .ttrpc:
      let client = TTRPCRedialingClient(to: address, using: connectors)
      try await run(client)
      await client.close()
    }
  }

  private func run(_ client: some RPCCaller) async throws {
    // Pools, tables and caches grow to their size first.
    _ = try await storm(client, seconds: min(seconds, 10))
    let before = try await Footprint.whenQuiet()
    let tally = try await storm(client, seconds: seconds)
    let after = try await Footprint.whenQuiet()
    print(
      """
      {"kills": \(tally.kills), "begun": \(tally.begun), "answered": \(tally.answered), \
      "failed": \(tally.failed), "wrong": \(tally.wrong), "longest": \(tally.longest / 1_000_000), \
      "before": \(before.json), "after": \(after.json)}
      """)
  }

  // MARK: Calls

  private struct Tally: Sendable {
    var kills = 0
    var begun = 0
    var answered = 0
    var failed = 0
    /// Answers to something else.
    var wrong = 0
    /// Nanoseconds.
    var longest: UInt64 = 0
  }

  private final class Watch: Sendable {
    let tally = Mutex(Tally())
    let isOver = Atomic<Bool>(false)
  }

  private func storm(_ client: some RPCCaller, seconds: Int) async throws -> Tally {
    let watch = Watch()
    let alarm = Task {
      try await Task.sleep(for: .seconds(seconds) + Self.patience)
      let tally = watch.tally.withLock { $0 }
      print(
        "grpc-benchmarks: of \(tally.begun) calls \(tally.answered + tally.failed) have ended: "
          + "the others hang")
      exit(1)
    }
    defer { alarm.cancel() }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<inFlight { group.addTask { try await call(client, index, watch) } }
      try await killServers(seconds, watch)
      try await group.waitForAll()
    }
    return watch.tally.withLock { $0 }
  }

  private func call(_ client: some RPCCaller, _ index: Int, _ watch: Watch) async throws {
    var serial = UInt64(index)
    while !watch.isOver.load(ordering: .relaxed) {
      serial += UInt64(inFlight)
      let message = Google_Protobuf_UInt64Value(serial)
      watch.tally.withLock { $0.begun += 1 }
      let start = now()
      let answer: Google_Protobuf_UInt64Value?
      do throws(RPCError) {
        answer = try await client.unary(
          Echo.numbers, message, returning: Google_Protobuf_UInt64Value.self,
          options: RPCCallOptions(timeout: Self.timeout))
      } catch {
        answer = nil
      }
      let took = now() - start
      watch.tally.withLock { tally in
        tally.longest = max(tally.longest, took)
        switch answer {
        case nil: tally.failed += 1
        case message: tally.answered += 1
        default: tally.wrong += 1
        }
      }
      // As callers do, who would else fail a million times while there is no server.
      if answer == nil { try await Task.sleep(for: .milliseconds(1)) }
    }
  }

  // MARK: The server

  private func killServers(_ seconds: Int, _ watch: Watch) async throws {
    let name = rpc == .grpc ? "ours" : "ttrpc"
    for _ in 0..<seconds {
      let server = try Command("/proc/self/exe", arguments: ["server", path, name]).spawn()
      do {
        try await Task.sleep(for: .seconds(1))
      } catch {
        server.signal(SIGKILL)
        throw error
      }
      server.signal(SIGKILL)
      _ = try await server.wait()
      unlink(path)
      watch.tally.withLock { $0.kills += 1 }
    }
    watch.isOver.store(true, ordering: .relaxed)
  }
}
