import Measuring
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore
import UnixTransport

/// Calls without pause from a number of tasks on a number of connections, for a time.
struct Measurement: Sendable {
  let address: TransportAddress
  let connections: Int
  let inFlight: Int
  let bytes: Int
  let warmUp: UInt64
  let duration: UInt64
  let isStreaming: Bool

  /// Messages of a stream that are on their way.
  private static let window = 16

  init(_ arguments: [String]) throws {
    address = TransportAddress(place: .unix(path: arguments[0]))
    connections = try number(arguments[1])
    inFlight = try number(arguments[2])
    bytes = try number(arguments[3])
    warmUp = try nanoseconds(arguments[4])
    duration = try nanoseconds(arguments[5])
    isStreaming = arguments.count > 6 && arguments[6] == "stream"
  }

  func run() async throws {
    var registry = TransportRegistry()
    registry.register(UnixConnector())
    let connectors = registry
    let window = Window(warmUp: warmUp, duration: duration)
    let sample = try await withThrowingTaskGroup(of: Sample.self) { group in
      for _ in 0..<connections {
        group.addTask {
          try await withTTRPCClient(to: address, using: connectors) { client in
            try await calls(on: client, in: window)
          }
        }
      }
      return try await group.reduce(into: Sample()) { $0.add($1) }
    }
    print(try sample.report(of: window))
  }

  private func calls(on client: TTRPCClient, in window: Window) async throws -> Sample {
    guard isStreaming else { return try await echo(on: client, in: window) }
    return try await withThrowingTaskGroup(of: Sample.self) { group in
      for _ in 0..<inFlight {
        group.addTask { try await stream(on: client, in: window) }
      }
      return try await group.reduce(into: Sample()) { $0.add($1) }
    }
  }

  private func echo(on client: TTRPCClient, in window: Window) async throws -> Sample {
    var filled = Google_Protobuf_BytesValue()
    filled.value = .init(repeating: 0, count: bytes)
    let message = filled
    return try await Sample.taken(in: window, tasks: inFlight) {
      let answer = try await client.unary(
        EchoServer.echo, message, returning: Google_Protobuf_BytesValue.self,
        options: RPCCallOptions())
      guard answer.value.count == bytes else { throw Problem("an answer is not what was sent") }
    }
  }
}

extension Measurement {
  /// One stream with a window of messages on their way: one is sent for each that has come back.
  private func stream(on client: TTRPCClient, in measured: Window) async throws -> Sample {
    var sample = Sample()
    var message = Google_Protobuf_BytesValue()
    message.value = .init(repeating: 0, count: bytes)
    let call = try await client.bidirectional(
      EchoServer.stream, sending: Google_Protobuf_BytesValue.self,
      returning: Google_Protobuf_BytesValue.self, options: RPCCallOptions())
    var sent: [UInt64] = []
    for _ in 0..<Self.window {
      sent.append(now())
      try await call.send(message)
    }
    var index = 0
    while let answer = try await call.responses.next() {
      guard answer.value.count == bytes else { throw Problem("an answer is not what was sent") }
      let time = now()
      if time > measured.ends {
        try await call.finishSending()
        return sample
      }
      sample.note(from: sent[index], in: measured)
      sent[index] = time
      index = (index + 1) % Self.window
      try await call.send(message)
    }
    throw Problem("the server ended the stream")
  }
}
