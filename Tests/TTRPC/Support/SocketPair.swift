import Glibc
import NIOCore
import NIOPosix
import RPCCore
import SwiftProtobuf
import Testing
import TransportCore

@testable import TTRPC

typealias Text = Google_Protobuf_StringValue

/// Two ends of a unix socket pair as channels, each made ready before it reads.
func socketPair(
  _ one: @escaping @Sendable (any Channel) throws -> Void = { _ in },
  _ other: @escaping @Sendable (any Channel) throws -> Void = { _ in }
) async throws -> (any Channel, any Channel) {
  var descriptors: [Int32] = [-1, -1]
  let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
  try #require(socketpair(AF_UNIX, type, 0, &descriptors) == 0)
  let group = MultiThreadedEventLoopGroup.singleton
  func channel(
    _ descriptor: Int32, _ configure: @escaping @Sendable (any Channel) throws -> Void
  ) async throws -> any Channel {
    try await ClientBootstrap(group: group)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try configure(channel) }
      }
      .withConnectedSocket(descriptor).get()
  }
  return (try await channel(descriptors[0], one), try await channel(descriptors[1], other))
}

func connection(_ channel: any Channel) -> Connection {
  Connection(
    channel: channel, address: TransportAddress(place: .memory(name: "test")),
    peer: PeerIdentity(), timings: [])
}

/// A client at one end of a socket pair.
func client(
  over channel: any Channel, _ configuration: TTRPCClient.Configuration = .init()
) async -> TTRPCClient {
  await TTRPCClient.adopt(connection(channel), configuration: configuration)
}

/// The other end of a socket pair, played by the test: it reads and writes bytes as they are.
final class RawPeer {
  let channel: any Channel
  private var reads: AsyncStream<ByteBuffer>.Iterator
  private var unread = ByteBuffer()

  private final class Inlet: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let reads: AsyncStream<ByteBuffer>.Continuation

    init(_ reads: AsyncStream<ByteBuffer>.Continuation) { self.reads = reads }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      reads.yield(unwrapInboundIn(data))
    }

    func channelInactive(context: ChannelHandlerContext) { reads.finish() }
  }

  struct Frame: Equatable {
    var type: UInt8
    var id: UInt32
    var data: [UInt8]
    var flags: UInt8 = 0
  }

  private init(_ channel: any Channel, _ reads: AsyncStream<ByteBuffer>) {
    self.channel = channel
    self.reads = reads.makeAsyncIterator()
  }

  /// A peer, and the channel of the one that is tested.
  static func pair(
    _ configure: @escaping @Sendable (any Channel) throws -> Void = { _ in }
  ) async throws -> (RawPeer, any Channel) {
    let (reads, continuation) = AsyncStream.makeStream(of: ByteBuffer.self)
    let (mine, tested) = try await socketPair(
      { try $0.pipeline.syncOperations.addHandler(Inlet(continuation)) }, configure)
    return (RawPeer(mine, reads), tested)
  }

  func write(_ bytes: [UInt8]) async throws {
    try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
  }

  func close() async throws { try await channel.close() }

  /// The next frame, or nil when the connection has ended.
  func frame() async -> Frame? {
    guard let header = await read(FrameHeader.size) else { return nil }
    var head = ByteBuffer(bytes: header)
    guard
      let (length, id, type, flags) = head.readMultipleIntegers(
        as: (UInt32, UInt32, UInt8, UInt8).self),
      let data = await read(Int(length))
    else { return nil }
    return Frame(type: type, id: id, data: data, flags: flags)
  }

  /// The next frame as it is on the wire.
  func bytes() async throws -> [UInt8] {
    let next = try #require(await frame())
    return TTRPCTests.frame(next.type, next.id, next.data, flags: next.flags)
  }

  /// The next frame, which must be a Request.
  func request() async throws -> (UInt32, RequestEnvelope) {
    let frame = try #require(await frame())
    #expect(frame.type == 1)
    return (frame.id, try RequestEnvelope(decoding: buffer(frame.data)))
  }

  /// The next frame, which must be a Response.
  func response() async throws -> (UInt32, ResponseEnvelope) {
    let frame = try #require(await frame())
    #expect(frame.type == 2)
    return (frame.id, try ResponseEnvelope(decoding: buffer(frame.data)))
  }

  private func read(_ count: Int) async -> [UInt8]? {
    while unread.readableBytes < count {
      guard var more = await reads.next(isolation: #isolation) else { return nil }
      unread.writeBuffer(&more)
    }
    return unread.readBytes(length: count)
  }
}

/// Counts what happened, across tasks.
actor Tally {
  private(set) var count = 0
  private(set) var notes: [String] = []

  func note(_ text: String) {
    count += 1
    notes.append(text)
  }
}

/// Waits until a condition holds. The suites' time limits bound it.
func eventually(_ condition: () async throws -> Bool) async throws {
  while try await !condition() { try await Task.sleep(for: .milliseconds(1)) }
}

/// The error that a call ends with.
func failure<Value>(_ call: () async throws -> Value) async throws -> RPCError {
  do {
    let value = try await call()
    throw RPCError(code: .internal, message: "no error but \(value)")
  } catch let error as RPCError {
    return error
  }
}
