import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import Synchronization
import Testing
import TransportCore
import UnixTransport

@testable import TTRPC

/// What a peer can do to a server over a unix socket, while another connection's calls go on.
@Suite("A hostile client", .serialized, .timeLimit(.minutes(5)))
struct HostileClientTests {
  /// What the process may grow by while it is attacked, the peer's own part and that of tests which
  /// run at the same time included.
  static let mostGrowth = 256 << 20
  /// What a server may take from a peer that never reads its answers, or whose requests fill its
  /// limits: what lies in both sockets' buffers included.
  static let mostTaken = 16 << 20

  /// Runs an attack, which blocks, against a server that also serves somebody else; that one's calls
  /// must all succeed, and new ones be accepted, during the attack and after it.
  private func attack(
    _ configuration: TTRPCServer.Configuration = .init(), _ tally: Tally = Tally(),
    _ body: @escaping @Sendable (String) throws -> Void
  ) async throws {
    let name = "hawsepipe-hostile-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let address = TransportAddress(place: .abstract(name: name))
    let listener = try UnixListener(bindingTo: address)
    let connectors = TransportRegistry([UnixConnector()])
    let server = ServerStreamTests.server(tally, configuration)
    let before = ResidentMemory.bytes()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run(on: listener) }
      let bystander = try await TTRPCClient.connect(to: address, using: connectors)
      func call(_ client: TTRPCClient) async throws {
        let answer = try await client.unary(
          RPCMethod(service: "t.S", name: "Echo"), Text.with { $0.value = "x" },
          returning: Text.self, options: .init(timeout: .seconds(60)))
        #expect(answer.value == "x")
      }
      try await call(bystander)
      let isOver = Atomic(false)
      async let calling = {
        var most = 0
        repeat {
          try await call(bystander)
          most = max(most, ResidentMemory.bytes())
          try await Task.sleep(for: .milliseconds(2))
        } while !isOver.load(ordering: .relaxed)
        return most
      }()
      let attacked = await Task { try await HostilePeer.away { try body(name) } }.result
      isOver.store(true, ordering: .relaxed)
      let most = try await calling
      try attacked.get()
      #expect(most - before < Self.mostGrowth, "grew by \((most - before) >> 20) MiB")
      let newcomer = try await TTRPCClient.connect(to: address, using: connectors)
      try await call(newcomer)
      try await call(bystander)
      await newcomer.close()
      await bystander.close()
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private static func hang(_ id: UInt32, _ more: [UInt8] = []) -> [UInt8] {
    frame(1, id, request("t.S", "Hang") + more)
  }

  /// Frames on ids that grow, which differ in nothing else.
  private static func requests(_ count: Int, like one: [UInt8]) -> [UInt8] {
    var all: [UInt8] = []
    all.reserveCapacity(count * one.count)
    for index in 0..<count {
      let (start, id) = (all.count, UInt32(index) * 2 + 1)
      all += one
      for byte in 0..<4 { all[start + 4 + byte] = UInt8(truncatingIfNeeded: id >> (24 - 8 * byte)) }
    }
    return all
  }

  @Test("data for a unary call under way ends that call, not the server")
  func dataForUnary() async throws {
    let tally = Tally()
    try await attack(.init(), tally) { name in
      let peer = try HostilePeer(to: name)
      for id in stride(from: 1, to: 2_000, by: 2) as StrideTo<UInt32> {
        peer.write(Self.hang(id) + frame(3, id, [1, 2, 3]))
        let answer = try #require(peer.frame())
        #expect(answer.type == 2 && answer.id == id)
      }
    }
    try await eventually {
      let notes = await tally.notes
      return notes.count { $0 == "began" } == notes.count { $0 == "cancelled" }
    }
  }

  @Test("ids that are even, used or falling are refused one by one")
  func badIDs() async throws {
    try await attack { name in
      let peer = try HostilePeer(to: name)
      for id in [2, 0, 9, 9, 9, 7, 4_294_967_294, 4_294_967_295, 4_294_967_295] as [UInt32] {
        peer.write(frame(1, id, request("t.S", "Echo")))
        #expect(try #require(peer.frame()).id == id)
      }
    }
  }

  @Test("frames of 16 MiB and of 4 GiB less one cost what is sent of them, and no memory")
  func hugeLengths() async throws {
    try await attack { name in
      let chunk = [UInt8](repeating: 0, count: 1 << 20)
      let peer = try HostilePeer(to: name)
      peer.write([1, 0, 0, 0, 0, 0, 0, 1, 1, 0])
      #expect(peer.write(chunk, times: 16) == 16 << 20)
      let refusal = try #require(peer.frame())
      #expect(refusal.id == 1)
      peer.write(frame(1, 3, request("t.S", "Echo")))
      #expect(try #require(peer.frame()).id == 3)
      peer.write([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 5, 1, 0])
      #expect(peer.write(chunk, times: 64) == 64 << 20)
      // Each promises the largest frame that is allowed, and sends nothing of it.
      let liars = try (0..<200).map { _ in try HostilePeer(to: name) }
      for liar in liars { liar.write([0, 0x40, 0, 0, 0, 0, 0, 1, 1, 0, 7]) }
    }
  }

  @Test("a million empty frames")
  func emptyFrames() async throws {
    try await attack { name in
      let peer = try HostilePeer(to: name)
      // Of an unknown kind, and Responses: passed over.
      let ignored = (frame(0x7f, 1) + frame(2, 1)) + frame(9, 0)
      let block = [[UInt8]](repeating: ignored, count: 1_000).flatMap { $0 }
      #expect(peer.write(block, times: 334) == 334 * block.count)
      peer.write(frame(1, 1, request("t.S", "Echo")))
      #expect(try #require(peer.frame()).id == 1)
    }
  }

  @Test("a million refused frames from a peer that never reads: it is not read either")
  func refusedFrames() async throws {
    try await attack { name in
      for bad in [frame(1, 2), frame(3, 1), frame(1, 4, request("no", "no"))] {
        let peer = try HostilePeer(to: name)
        let block = [[UInt8]](repeating: bad, count: 1_000).flatMap { $0 }
        let taken = peer.flood(block, times: 1_000)
        #expect(taken < 1_000 * block.count && taken < Self.mostTaken, "it took \(taken) bytes")
        // What was refused is told to a peer that reads after all.
        #expect(peer.drain() > 0)
      }
    }
  }

  @Test("a header that comes a byte at a time costs its own connection only")
  func slowHeader() async throws {
    try await attack { name in
      let peers = try (0..<50).map { _ in try HostilePeer(to: name) }
      for byte in frame(1, 1, request("t.S", "Echo")) {
        for peer in peers { peer.write([byte]) }
        usleep(20_000)
      }
      for peer in peers { #expect(try #require(peer.frame()).id == 1) }
    }
  }

  @Test("streams without end are refused beyond the limit")
  func streams() async throws {
    let tally = Tally()
    try await attack(.init(maximumStreams: 100), tally) { name in
      let peer = try HostilePeer(to: name)
      let opens = Self.requests(20_000, like: frame(1, 0, request("t.S", "Mute"), flags: 2))
      // Its answers are read, or it would stop being read itself.
      let chunk = opens.count / 20
      for start in stride(from: 0, to: opens.count, by: chunk) {
        peer.write(Array(opens[start..<(start + chunk)]))
        for _ in 0..<(start == 0 ? 900 : 1_000) {
          let answer = try #require(peer.frame())
          #expect(answer.type == 2)
        }
      }
    }
    #expect(await tally.notes.count { $0 == "began" } <= 100)
  }

  @Test("calls without end wait in the socket once the limit is reached")
  func calls() async throws {
    let tally = Tally()
    try await attack(.init(maximumInFlight: 100), tally) { name in
      let peer = try HostilePeer(to: name)
      let flood = Self.requests(200_000, like: Self.hang(0))
      let taken = peer.flood(flood)
      #expect(taken < flood.count / 2, "it took \(taken) bytes")
    }
    #expect(await tally.notes.count { $0 == "began" } <= 100)
  }

  @Test("calls that are large with what is not their payload are counted with all of it")
  func largeEnvelopes() async throws {
    let filler = [UInt8](repeating: 0, count: 1 << 20)
    // An unknown field, one entry of metadata, and very many.
    let weights = [
      field(15, filler), field(5, field(1, [0x6b]) + field(2, filler)),
      [[UInt8]](repeating: [0x2a, 0], count: 1 << 18).flatMap { $0 },
    ]
    for weight in weights {
      let tally = Tally()
      try await attack(.init(maximumInFlightBytes: 8 << 20), tally) { name in
        let peer = try HostilePeer(to: name)
        let taken = peer.flood(Self.requests(40, like: Self.hang(0, weight)))
        #expect(taken < Self.mostTaken, "it took \(taken) bytes")
      }
      #expect(await tally.notes.count { $0 == "began" } <= 9)
    }
  }

  @Test("streams that are large with metadata are refused beyond the limit")
  func largeStreams() async throws {
    let tally = Tally()
    try await attack(.init(maximumInFlightBytes: 8 << 20), tally) { name in
      let peer = try HostilePeer(to: name)
      let weight = [[UInt8]](repeating: [0x2a, 0], count: 1 << 15).flatMap { $0 }
      for id in stride(from: 1, to: 41, by: 2) as StrideTo<UInt32> {
        peer.write(frame(1, id, request("t.S", "Mute") + weight, flags: 2))
      }
      let answer = try #require(peer.frame())
      #expect(answer.type == 2 && answer.id == 5)
    }
    #expect(await tally.notes.count { $0 == "began" } <= 3)
  }

  @Test("messages without end for a stream that nobody reads end that stream")
  func unreadStream() async throws {
    let budget = TTRPCStreamBudget(
      messages: 64, bytes: 1 << 20, connectionBytes: 4 << 20, grace: .milliseconds(300))
    try await attack(.init(streams: budget)) { name in
      for size in [0, 1, 1_000, 1 << 20] {
        let peer = try HostilePeer(to: name)
        peer.write(frame(1, 1, request("t.S", "Mute"), flags: 2))
        let data = frame(3, 1, [UInt8](repeating: 1, count: size))
        let block = [[UInt8]](repeating: data, count: max(1, (1 << 16) / data.count))
          .flatMap { $0 }
        peer.write(block, times: (64 << 20) / block.count)
        let answer = try #require(peer.frame())
        #expect(answer.type == 2 && answer.id == 1)
      }
    }
  }

  @Test("connections that end within a frame leave nothing behind")
  func cutFrames() async throws {
    try await attack { name in
      let whole = frame(1, 1, request("t.S", "Hang"))
      for length in 0..<500 {
        let peer = try HostilePeer(to: name)
        peer.write(Array(whole.prefix(length % (whole.count + 1))))
      }
    }
  }
}
