import ContainerdAPI
import Glibc
import NIOCore
import RPCCore
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore
import UnixTransport

@testable import ShimManagement

@Suite("Taking the events that shims send")
struct EventsReceiverTests {
  let scratch: Scratch

  init() throws { scratch = try Scratch.opened() }

  private var address: TransportAddress {
    TransportAddress(rpc: .ttrpc, place: .unix(path: scratch.state.eventsSocket))
  }

  /// The errno of a connect; nil when somebody listens.
  private func connectError() async -> Int32? {
    do {
      let connection = try await TransportRegistry([UnixConnector()]).connect(
        to: address, options: ConnectOptions(timeout: .seconds(5))
      ) { _ in }
      try? await connection.channel.close()
      return nil
    } catch {
      return error.attempts.last?.failure.errno
    }
  }

  private func forward(_ topic: String) async throws(RPCError) {
    let client: TTRPCClient
    do {
      client = try await TTRPCClient.connect(
        to: address, using: TransportRegistry([UnixConnector()]),
        options: ConnectOptions(timeout: .seconds(5)))
    } catch {
      throw RPCError(code: .unavailable, message: "\(error)")
    }
    let request = Containerd_Services_Events_Ttrpc_V1_ForwardRequest.with {
      $0.envelope.topic = topic
      $0.envelope.namespace = "tests"
      $0.envelope.timestamp.seconds = 12
      $0.envelope.event.typeURL = "containerd.events.TaskExit"
    }
    let outcome: Result<Google_Protobuf_Empty, RPCError>
    do {
      outcome = .success(
        try await Containerd_Services_Events_Ttrpc_V1_EventsClient(caller: client).forward(
          request, options: RPCCallOptions(timeout: .seconds(20))))
    } catch {
      outcome = .failure(error)
    }
    await client.close()
    _ = try outcome.get()
  }

  @Test("from prepare on the address is there, and refuses at once while nobody takes events")
  func prepare() async throws {
    let receiver = EventsReceiver(directory: scratch.state)
    #expect(await connectError() == ENOENT)
    try receiver.prepare()
    #expect(await connectError() == ECONNREFUSED)
    // Whoever comes second changes nothing.
    let before = status(scratch.state.eventsSocket)?.st_ino
    try receiver.prepare()
    #expect(status(scratch.state.eventsSocket)?.st_ino == before)
  }

  @Test("something else in the socket's place is an error, and stays")
  func notSocket() throws {
    try write("precious", to: scratch.state.eventsSocket)
    let error = failure { try EventsReceiver(directory: scratch.state).prepare() }
    #expect(error?.code == .stateDirectory)
    #expect(error?.description.contains(scratch.state.eventsSocket) == true)
    #expect(try contents(scratch.state.eventsSocket) == "precious")
  }

  @Test("an event arrives whole; when the receiver ends, the address refuses")
  func receives() async throws {
    let receiver = EventsReceiver(directory: scratch.state)
    try receiver.prepare()
    let received = Noted<ShimEvent>()
    let running = Task { await receiver.run { received.add($0) } }
    try await eventually("somebody listens") { await connectError() == nil }
    try await forward("/tasks/exit")
    let event = try #require(received.all.first)
    #expect(event.namespace == "tests" && event.topic == "/tasks/exit")
    #expect(event.timestamp.seconds == 12)
    #expect(event.event.typeURL == "containerd.events.TaskExit")
    running.cancel()
    await running.value
    try await eventually("nobody listens") { await connectError() == ECONNREFUSED }
    #expect(received.all.count == 1)
  }

  @Test("what the receiver's body throws goes back to the shim")
  func refusal() async throws {
    let receiver = EventsReceiver(directory: scratch.state)
    try receiver.prepare()
    let running = Task {
      await receiver.run { _ in throw RPCError(code: .invalidArgument, message: "no such topic") }
    }
    try await eventually("somebody listens") { await connectError() == nil }
    await #expect {
      try await forward("nonsense")
    } throws: { error in
      (error as? RPCError)?.code == .invalidArgument
    }
    running.cancel()
    await running.value
  }

  @Test("of two receivers the second takes over when the first ends, and nothing goes missing")
  func takeover() async throws {
    let first = Noted<String>()
    let second = Noted<String>()
    let receiver = EventsReceiver(directory: scratch.state)
    let standby = receiver
    try receiver.prepare()
    let one = Task { await receiver.run { first.add($0.topic) } }
    try await eventually("the first listens") { await connectError() == nil }
    let two = Task {
      await standby.run { second.add($0.topic) }
    }
    try await forward("/tasks/start")
    #expect(first.all.count == 1 && second.all.count == 0)
    one.cancel()
    await one.value
    try await eventually("the second has taken over") { await connectError() == nil }
    try await forward("/tasks/exit")
    #expect(first.all.count == 1 && second.all.count == 1)
    two.cancel()
    await two.value
    // Not at once: a process that a test beside this one starts has the listener, too, until its
    // program runs.
    try await eventually("nobody listens") { await connectError() == ECONNREFUSED }
  }
}
