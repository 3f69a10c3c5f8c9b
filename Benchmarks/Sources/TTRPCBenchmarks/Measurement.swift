import Glibc
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

  /// What a task has measured.
  private struct Sample: Sendable {
    /// Nanoseconds of those calls that began within the time measured.
    var latencies: [UInt32] = []
    /// All that were made.
    var all = 0

    mutating func add(_ other: Sample) {
      latencies += other.latencies
      all += other.all
    }
  }

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
    let began = now() + warmUp
    let sample = try await withThrowingTaskGroup(of: Sample.self) { group in
      for _ in 0..<connections {
        group.addTask {
          try await withTTRPCClient(to: address, using: connectors) { client in
            try await calls(on: client, from: began, to: began + duration)
          }
        }
      }
      return try await group.reduce(into: Sample()) { $0.add($1) }
    }
    let latencies = sample.latencies.sorted()
    guard !latencies.isEmpty else { throw Problem("no call ended in time") }
    let seconds = Double(duration) / 1e9
    let (p50, p99) = (latencies[latencies.count / 2], latencies[latencies.count * 99 / 100])
    print(
      """
      {"calls": \(latencies.count), "all": \(sample.all), "seconds": \(seconds), \
      "p50": \(Double(p50) / 1e3), "p99": \(Double(p99) / 1e3)}
      """)
  }

  private func calls(
    on client: TTRPCClient, from began: UInt64, to ends: UInt64
  ) async throws -> Sample {
    try await withThrowingTaskGroup(of: Sample.self) { group in
      for _ in 0..<inFlight {
        group.addTask {
          isStreaming
            ? try await stream(on: client, from: began, to: ends)
            : try await echo(on: client, from: began, to: ends)
        }
      }
      return try await group.reduce(into: Sample()) { $0.add($1) }
    }
  }

  /// - Returns: the nanoseconds that the calls took that began within the time measured.
  private func echo(
    on client: TTRPCClient, from began: UInt64, to ends: UInt64
  ) async throws -> Sample {
    var sample = Sample()
    var message = Google_Protobuf_BytesValue()
    message.value = .init(repeating: 0, count: bytes)
    while true {
      let start = now()
      if start > ends { return sample }
      let answer = try await client.unary(
        EchoServer.echo, message, returning: Google_Protobuf_BytesValue.self,
        options: RPCCallOptions())
      guard answer.value.count == bytes else { throw Problem("an answer is not what was sent") }
      sample.all += 1
      if start > began { sample.latencies.append(UInt32(clamping: now() - start)) }
    }
  }
}

extension Measurement {
  /// One stream with a window of messages on their way: one is sent for each that has come back.
  private func stream(
    on client: TTRPCClient, from began: UInt64, to ends: UInt64
  ) async throws -> Sample {
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
      if time > ends {
        try await call.finishSending()
        return sample
      }
      sample.all += 1
      if sent[index] > began { sample.latencies.append(UInt32(clamping: time - sent[index])) }
      sent[index] = time
      index = (index + 1) % Self.window
      try await call.send(message)
    }
    throw Problem("the server ended the stream")
  }
}

/// Of the monotonic clock.
func now() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

private func nanoseconds(_ seconds: String) throws -> UInt64 {
  guard let seconds = Double(seconds), seconds >= 0, seconds < 3600 else {
    throw Problem("\(seconds) is no time in seconds")
  }
  return UInt64(seconds * 1e9)
}
