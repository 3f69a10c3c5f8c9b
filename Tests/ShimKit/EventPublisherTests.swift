import ContainerdAPI
import Glibc
import Logging
import RPCCore
import ShimKit
import SwiftProtobuf
import Synchronization
import TTRPC
import Testing
import TransportCore
import UnixTransport

@Suite("The event publisher")
struct EventPublisherTests {
  private static let generous = Duration.seconds(120)

  private let directory: String

  init() throws {
    var template = Array("/tmp/hawse-events-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private var address: TransportAddress {
    TransportAddress(rpc: .ttrpc, place: .unix(path: "\(directory)/e.sock"))
  }

  private func publisher() -> EventPublisher {
    var logger = Logger(label: "tests")
    logger.logLevel = .critical
    return EventPublisher(
      to: address, namespace: "tests",
      configuration: .init(
        tryLimit: Self.generous, firstPause: .milliseconds(5), longestPause: .milliseconds(20),
        logger: logger))
  }

  /// Listens until the body is through; the file is gone afterwards.
  private func serving(
    _ daemon: Daemon, _ body: () async throws -> Void
  ) async throws {
    var server = TTRPCServer()
    daemon.register(on: &server)
    let listener = try UnixListener(
      bindingTo: TransportAddress(place: .unix(path: "\(directory)/e.sock")),
      options: .init(replacing: true))
    let running = Task { [server] in try await server.run(on: listener) }
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await body())
    } catch {
      outcome = .failure(error)
    }
    running.cancel()
    // Ended by being cancelled: what it says of that is not of interest.
    _ = await running.result
    listener.close()
    try outcome.get()
  }

  private func exit(_ number: Int) -> Containerd_Events_TaskExit {
    .with { $0.pid = UInt32(number) }
  }

  @Test("ten thousand events arrive in order, each with its type, namespace and time")
  func order() async throws {
    let daemon = Daemon()
    let publisher = publisher()
    try await serving(daemon) {
      for number in 1...10_000 { publisher.publish(exit(number), topic: EventTopic.taskExit) }
      #expect(await publisher.drain(within: Self.generous) == 0)
    }
    await publisher.close()
    #expect(daemon.numbers == (1...10_000).map(UInt32.init))
    let first = try #require(daemon.envelopes.first)
    #expect(first.event.typeURL == "containerd.events.TaskExit")
    #expect(first.namespace == "tests" && first.topic == "/tasks/exit")
    #expect(daemon.namespaces == ["tests"])
    #expect(abs(Int(first.timestamp.seconds) - time(nil)) < 3600)
    rmdir(directory)
  }

  @Test("events wait for a daemon that is not there yet, with the time they were published at")
  func lateDaemon() async throws {
    let daemon = Daemon()
    let publisher = publisher()
    for number in 1...100 { publisher.publish(exit(number), topic: EventTopic.taskExit) }
    #expect(await publisher.drain(within: .milliseconds(100)) == 100)
    try await serving(daemon) { #expect(await publisher.drain(within: Self.generous) == 0) }
    await publisher.close()
    #expect(daemon.numbers == (1...100).map(UInt32.init))
    #expect(publisher.dropped == 0)
    rmdir(directory)
  }

  @Test("a daemon that dies in the middle of a call and comes back misses nothing")
  func restarts() async throws {
    let publisher = publisher()
    var seen: [UInt32] = []
    for round in 0..<5 {
      for number in 1...20 {
        publisher.publish(exit(round * 20 + number), topic: EventTopic.taskExit)
      }
      // Takes some and answers the last of them never.
      let daemon = Daemon(hangingAfter: round == 4 ? .max : 7)
      try await serving(daemon) {
        if round == 4 {
          #expect(await publisher.drain(within: Self.generous) == 0)
        } else {
          while daemon.numbers.count < 8 { try await Task.sleep(for: .milliseconds(1)) }
        }
      }
      seen += daemon.numbers
    }
    await publisher.close()
    // At least once: an event comes again right behind itself, and never out of order.
    #expect(seen == seen.sorted())
    #expect(Set(seen) == Set((1...100).map(UInt32.init)))
    #expect(seen.count <= 104)
    rmdir(directory)
  }

  @Test("an event that the daemon refuses does not hold up those behind it")
  func refused() async throws {
    let daemon = Daemon(refusing: 2)
    let publisher = publisher()
    try await serving(daemon) {
      for number in 1...3 { publisher.publish(exit(number), topic: EventTopic.taskExit) }
      #expect(await publisher.drain(within: Self.generous) == 0)
    }
    await publisher.close()
    #expect(daemon.numbers == [1, 3])
    #expect(publisher.dropped == 1)
    rmdir(directory)
  }

  @Test("closing ends a try under way and a drain; what is published later is dropped")
  func closing() async throws {
    let publisher = publisher()
    publisher.publish(exit(1), topic: EventTopic.taskExit)
    async let left = publisher.drain(within: Self.generous)
    try await Task.sleep(for: .milliseconds(20))
    await publisher.close()
    #expect(await left == 1)
    publisher.publish(exit(2), topic: EventTopic.taskExit)
    #expect(publisher.waiting == 1)
    rmdir(directory)
  }
}

/// The daemon's events service.
private final class Daemon: Containerd_Services_Events_Ttrpc_V1_EventsService {
  private struct State {
    var envelopes: [Containerd_Types_Envelope] = []
    var namespaces: Set<String> = []
  }

  private let state = Mutex(State())
  private let limit: Int
  private let refused: UInt32?

  init(hangingAfter limit: Int = .max, refusing refused: UInt32? = nil) {
    self.limit = limit
    self.refused = refused
  }

  var envelopes: [Containerd_Types_Envelope] { state.withLock { $0.envelopes } }
  var namespaces: Set<String> { state.withLock { $0.namespaces } }
  var numbers: [UInt32] {
    envelopes.map { envelope in
      // What is no exit is none of the numbers that are looked for.
      (try? TypeURL.unpack(envelope.event, as: Containerd_Events_TaskExit.self).pid) ?? 0
    }
  }

  nonisolated(nonsending) func forward(
    _ request: Containerd_Services_Events_Ttrpc_V1_ForwardRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let event = try TypeURL.unpack(
      request.envelope.event, as: Containerd_Events_TaskExit.self)
    if event.pid == refused { throw RPCError(code: .invalidArgument, message: "no") }
    let count = state.withLock { state in
      state.envelopes.append(request.envelope)
      state.namespaces.insert(context.metadata["containerd-namespace-ttrpc"] ?? "")
      return state.envelopes.count
    }
    if count > limit { try await Task.sleep(for: .seconds(3600)) }
    return Google_Protobuf_Empty()
  }
}
