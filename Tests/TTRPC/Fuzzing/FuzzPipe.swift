import NIOCore
import NIOEmbedded

@testable import TTRPC

/// A connection's far end for a handler under test: bytes wait here until the handler reads, as they
/// would in a socket, and what it writes is cut into frames again.
final class FuzzPipe {
  let loop = EmbeddedEventLoop()
  let channel: EmbeddedChannel
  private let gate = ReadGate()
  private var waiting = CircularBuffer<ByteBuffer>()
  private var isClosed = false
  private var output: [UInt8] = []
  /// What the handler wrote while the channel took nothing.
  private(set) var writtenWhileFull = 0
  /// How many bytes come in one read.
  var readSize = 1 << 16

  /// Sees what is asked for nearest to where a socket would be.
  private final class ReadGate: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    var isWanted = false
    func read(context: ChannelHandlerContext) { isWanted = true }
  }

  init(_ handler: some ChannelHandler) throws {
    channel = EmbeddedChannel(loop: loop)
    try channel.pipeline.syncOperations.addHandler(gate)
    try channel.pipeline.syncOperations.addHandler(handler)
    channel.connect(to: try SocketAddress(unixDomainSocketPath: "/fuzz"), promise: nil)
    channel.pipeline.read()
  }

  func send(_ bytes: [UInt8]) {
    guard !isClosed else { return }
    // What came together is read together, as far as a read goes.
    if let last = waiting.indices.last, waiting[last].readableBytes < readSize {
      waiting[last].writeBytes(bytes)
    } else {
      waiting.append(ByteBuffer(bytes: bytes))
    }
    deliver()
  }

  private static let much = ByteBuffer(repeating: 0, count: FrameHeader.maximumLength + 1)

  /// Sends a frame of one byte more than a frame may have.
  func sendOversize(_ type: UInt8, _ id: UInt32) {
    var header = ByteBuffer()
    header.writeMultipleIntegers(UInt32(Self.much.readableBytes), id, type, 0 as UInt8)
    send(Array(header.readableBytesView))
    guard !isClosed else { return }
    waiting.append(Self.much)
    deliver()
  }

  /// Reads as long as the handler wants it.
  func deliver() {
    while !isClosed, gate.isWanted, !waiting.isEmpty {
      gate.isWanted = false
      var first = waiting.removeFirst()
      // What is large is dropped: one read may take it all.
      let count = first.readableBytes > FrameHeader.maximumLength ? first.readableBytes : readSize
      if first.readableBytes > count, let part = first.readSlice(length: count) {
        waiting.prepend(first)
        first = part
      }
      channel.pipeline.fireChannelRead(first)
      channel.pipeline.fireChannelReadComplete()
      channel.pipeline.read()
      collect()
    }
  }

  func setWritable(_ isWritable: Bool) {
    guard !isClosed, channel.isWritable != isWritable else { return }
    if isWritable { writtenWhileFull = 0 }
    channel.isWritable = isWritable
    channel.pipeline.fireChannelWritabilityChanged()
    deliver()
  }

  func run() {
    loop.run()
    deliver()
    loop.run()
    collect()
  }

  func advance(_ milliseconds: Int) {
    loop.advanceTime(by: .milliseconds(Int64(milliseconds)))
    run()
  }

  func close() {
    guard !isClosed else { return }
    isClosed = true
    collect()
    channel.close(promise: nil)
    loop.run()
  }

  private func collect() {
    // It is all ByteBuffers; what is in the channel is there to be taken.
    while let buffer = try? channel.readOutbound(as: ByteBuffer.self) {
      output += buffer.readableBytesView
      if !channel.isWritable { writtenWhileFull += buffer.readableBytes }
    }
  }

  /// The frames that the handler has written since the last time.
  func takeFrames() throws -> [(FrameHeader, ByteBuffer)] {
    collect()
    let (events, isWhole) = FrameFuzzing.read(output)
    try FuzzFailure.unless(isWhole, "what was written ends within a frame")
    output = []
    return try events.map { event in
      guard case .frame(let header, let data) = event else {
        throw FuzzFailure(description: "a frame was written that is too large")
      }
      return (header, data)
    }
  }
}

/// Frames for a handler under test.
enum FuzzFrame {
  static func bytes(
    _ type: UInt8, _ id: UInt32, flags: UInt8 = 0, _ data: [UInt8]
  ) -> [UInt8] {
    var out = ByteBuffer()
    out.writeMultipleIntegers(UInt32(data.count), id, type, flags)
    return Array(out.readableBytesView) + data
  }

  static func field(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    var out = ByteBuffer()
    out.writeContentHead(tag: tag, count: content.count)
    return Array(out.readableBytesView) + content
  }

  static func varintField(_ tag: UInt8, _ value: UInt64) -> [UInt8] {
    var out = ByteBuffer()
    out.writeInteger(tag)
    out.writeVarint(value)
    return Array(out.readableBytesView)
  }
}
