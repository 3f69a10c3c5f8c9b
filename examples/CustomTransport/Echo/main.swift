// A program that knows a transport of its own: it listens at a `named` address, dials it, and says
// what came back.
//
//   custom-transport [ADDRESS]      such as named:///run/vm.sock:echo

import NIOCore
import NamedTransport
import TransportCore

// Registered like the package's own; from then on addresses of it are read, dialled and listened at.
var registry = TransportRegistry([NamedConnector()])
registry.register(NamedListenerFactory())

let text = CommandLine.arguments.dropFirst().first ?? "named:///tmp/hawsepipe-example.sock:echo"
let address = try registry.parse(text)
let listener = try await registry.listen(at: address)

/// Sends back what it gets.
final class Echo: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    context.writeAndFlush(data, promise: nil)
  }
}

/// Hands the first bytes that come to a promise.
final class FirstBytes: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let result: EventLoopPromise<String>

  init(_ result: EventLoopPromise<String>) { self.result = result }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    result.succeed(String(buffer: unwrapInboundIn(data)))
  }

  func channelInactive(context: ChannelHandlerContext) { result.fail(ChannelError.eof) }
}

try await withThrowingTaskGroup(of: Void.self) { group in
  group.addTask {
    try await listener.run { channel in
      try channel.pipeline.syncOperations.addHandler(Echo())
    } onConnection: { connection in
      print("accepted: \(connection.peer)")
      // However it ended, it ended.
      try? await connection.channel.closeFuture.get()
    }
  }

  let connection = try await registry.connect(to: address) { _ in }
  print("connected: \(connection.address), \(connection.peer)")
  for timing in connection.timings { print("  \(timing.phase.rawValue): \(timing.duration)") }

  let answer = try await connection.channel.eventLoop.flatSubmit { [channel = connection.channel] in
    let result = channel.eventLoop.makePromise(of: String.self)
    do {
      try channel.pipeline.syncOperations.addHandler(FirstBytes(result))
    } catch {
      result.fail(error)
    }
    channel.writeAndFlush(ByteBuffer(string: "hello through a transport of my own"), promise: nil)
    return result.futureResult
  }.get()
  print("echoed: \(answer)")
  try await connection.channel.close()

  group.cancelAll()
  try await group.waitForAll()
}
