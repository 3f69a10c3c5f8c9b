import Glibc
import ProcessSupervision
import RPCCore
import SwiftProtobuf
import Synchronization
import Testing
import TransportCore

@testable import TTRPC

/// kill -9 of a Go peer at random moments: each call ends once, and nothing is left.
@Suite("ttrpc with Go at the other end: sudden death", .ttrpcPeers, .timeLimit(.minutes(10)))
struct TTRPCPeerDeathTests {
  /// What a test's random moments come from, printed so that they can be had again.
  private static func moments(_ name: String) -> SplitMix {
    let seed = UInt64.random(in: 0 ... .max)
    print("ttrpc peer deaths: \(name): seed \(seed)")
    return SplitMix(state: seed)
  }

  /// How many calls began and how they ended.
  private final class Ledger: Sendable {
    struct Entries {
      var began = 0
      var succeeded = 0
      var lost = 0
      var others: [RPCError] = []
    }
    private let entries = Mutex(Entries())
    var now: Entries { entries.withLock { $0 } }

    /// - Returns: whether the call succeeded.
    func enter(
      _ call: nonisolated(nonsending) () async throws(RPCError) -> Void
    ) async -> Bool {
      entries.withLock { $0.began += 1 }
      do throws(RPCError) {
        try await call()
        entries.withLock { $0.succeeded += 1 }
        return true
      } catch {
        let isLost = error.reason == .connectionClosed && error.code == .unavailable
        entries.withLock { isLost ? $0.lost += 1 : $0.others.append(error) }
        return false
      }
    }
  }

  /// Calls of all kinds, each worker one after the other until one fails.
  private static func churn(_ client: TTRPCClient, _ ledger: Ledger) async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<4 {
        group.addTask {
          while await ledger.enter({ () async throws(RPCError) in
            _ = try await client.ask("Echo", "x", timeout: nil)
          }) {}
        }
        group.addTask {
          _ = await ledger.enter { () async throws(RPCError) in
            _ = try await client.ask("Sleep", "600000", timeout: nil)
          }
        }
        group.addTask {
          while await ledger.enter({ () async throws(RPCError) in
            let call = try await client.talk("EchoStream")
            for text in ["a", "b"] {
              try await call.send(PeerText(text))
              _ = try await call.responses.next()
            }
            try await call.finishSending()
            _ = try await call.responses.texts()
          }) {}
        }
        group.addTask {
          while await ledger.enter({ () async throws(RPCError) in
            let call = try await client.clientStreaming(
              PeerService.method("Sum"), sending: PeerText.self, returning: PeerText.self,
              options: .init())
            for text in ["1", "2", "3"] { try await call.send(PeerText(text)) }
            _ = try await call.response()
          }) {}
        }
        group.addTask {
          while await ledger.enter({ () async throws(RPCError) in
            _ = try await client.divided("a,b,c")
          }) {}
        }
      }
    }
  }

  @Test("100 Go servers killed at any moment: every call of ours ends once, and nothing is left")
  func servers() async throws {
    var random = Self.moments("servers")
    let ledger = Ledger()
    for _ in 0..<100 {
      let delay = Duration.microseconds(Int.random(in: 0...20_000, using: &random))
      try await PeerServer.with(.go) { client, server in
        async let churned: Void = Self.churn(client, ledger)
        try await Task.sleep(for: delay)
        server.child.signal(SIGKILL)
        _ = try await server.child.wait()
        await churned
        await client.waitUntilClosed()
        #expect(await client.pendingCalls == 0)
        #expect(!client.isConnected)
        try await eventually("the sockets' end", within: .seconds(120)) {
          Self.sockets(to: server.child.pid) == 0
        }
      }
    }
    let entries = ledger.now
    print("ttrpc peer deaths: \(entries.succeeded) calls succeeded, \(entries.lost) were lost")
    #expect(entries.others.isEmpty, "\(entries.others.prefix(3))")
    #expect(entries.succeeded + entries.lost == entries.began)
    #expect(entries.succeeded > 0 && entries.lost >= 100)
  }

  @Test("100 Go clients killed at any moment: every handler of ours ends, and nothing is left")
  func clients() async throws {
    var random = Self.moments("clients")
    let service = PeerService()
    var delays: [Duration] = []
    for _ in 0..<100 {
      delays.append(.microseconds(Int.random(in: 0...40_000, using: &random)))
    }
    try await service.serve { [delays] socket in
      for delay in delays {
        let client = try await TTRPCPeer.go.start(at: socket, "churn")
        defer { client.signal(SIGKILL) }
        try await Task.sleep(for: delay)
        client.signal(SIGKILL)
        _ = try await client.wait()
        try await eventually("the handlers' and the sockets' end", within: .seconds(120)) {
          service.isIdle && Self.sockets(to: client.pid) == 0
        }
      }
      let now = service.now
      print("ttrpc peer deaths: \(now.ended) handlers ended, \(now.woken) of them by a death")
      #expect(now.began > 0)
      // The server is as it was.
      #expect(try await TTRPCPeer.go.carryOut(at: socket, "call\tEcho\thi\t0") == "ok hi")
    }
  }

  /// How many of this process's sockets have that process at their other end, as the kernel noted it
  /// when they were connected.
  private static func sockets(to pid: Int32) -> Int {
    HostFiles.names(in: "/proc/self/fd").compactMap { Int32($0) }.count { descriptor in
      // Process, user and group.
      var credentials: [Int32] = [0, 0, 0]
      var size = socklen_t(MemoryLayout<Int32>.size * credentials.count)
      // What is no unix socket, or is gone by now, is none of them.
      return getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0
        && credentials[0] == pid
    }
  }
}

/// A small generator whose numbers follow from its seed.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
