import ContainerdAPI
import NIOCore
import RPCCore
import Testing
import TransportCore

@testable import ShimKit

@Suite("The queue of events")
struct EventQueueTests {
  private func entry(_ topic: String, _ bytes: Int = 10) -> EventQueue.Entry {
    EventQueue.Entry(topic: topic, payload: ByteBuffer(repeating: 0, count: bytes))
  }

  /// Takes all out, in the order they would be sent in.
  private func topics(of queue: inout EventQueue) -> [String] {
    var topics: [String] = []
    while let entry = queue.take() {
      topics.append(entry.topic)
      queue.finish()
    }
    return topics
  }

  @Test("events leave in the order they came in, whatever their importance")
  func order() {
    var queue = EventQueue(limits: .init(count: 100, bytes: 1 << 20))
    let order = [
      EventTopic.taskExit, EventTopic.taskPaused, EventTopic.taskCreate, "/own",
      EventTopic.taskExit,
      EventTopic.taskStart, EventTopic.taskResumed, EventTopic.taskDelete,
    ]
    for topic in order { #expect(queue.append(entry(topic)).isEmpty) }
    #expect(topics(of: &queue) == order)
    #expect(queue.isEmpty && queue.bytes == 0)
  }

  @Test(
    "what is over the limit goes: the least important first, of these the oldest",
    arguments: [
      // What is there, what comes, what stays.
      (
        [EventTopic.taskCreate, EventTopic.taskPaused, EventTopic.taskExit], EventTopic.taskStart,
        [EventTopic.taskCreate, EventTopic.taskExit, EventTopic.taskStart]
      ),
      (
        [EventTopic.taskExecAdded, "/own", EventTopic.taskStart], EventTopic.taskPaused,
        ["/own", EventTopic.taskStart, EventTopic.taskPaused]
      ),
      (
        [EventTopic.taskCreate, EventTopic.taskOOM, EventTopic.taskExit], EventTopic.taskDelete,
        [EventTopic.taskCreate, EventTopic.taskExit, EventTopic.taskDelete]
      ),
      (
        [EventTopic.taskExit, EventTopic.taskStart, EventTopic.taskDelete], EventTopic.taskExit,
        [EventTopic.taskExit, EventTopic.taskDelete, EventTopic.taskExit]
      ),
      (
        [EventTopic.taskExit, EventTopic.taskDelete, EventTopic.taskExit], EventTopic.taskResumed,
        [EventTopic.taskExit, EventTopic.taskDelete, EventTopic.taskExit]
      ),
      (
        [EventTopic.taskExit, EventTopic.taskDelete, EventTopic.taskExit], EventTopic.taskDelete,
        [EventTopic.taskDelete, EventTopic.taskExit, EventTopic.taskDelete]
      ),
    ])
  func overflow(before: [String], new: String, after: [String]) {
    var queue = EventQueue(limits: .init(count: 3, bytes: 1 << 20))
    for topic in before { #expect(queue.append(entry(topic)).isEmpty) }
    #expect(queue.append(entry(new)).count == 1)
    #expect(topics(of: &queue) == after)
  }

  @Test("the bytes are bounded, too, and an event larger than all room goes alone")
  func bytes() {
    var queue = EventQueue(limits: .init(count: 100, bytes: 2000))
    #expect(queue.append(entry(EventTopic.taskPaused, 500)).isEmpty)
    #expect(queue.append(entry(EventTopic.taskExit, 500)).isEmpty)
    #expect(queue.append(entry(EventTopic.taskExit, 900)).map(\.topic) == [EventTopic.taskPaused])
    #expect(
      queue.append(entry(EventTopic.taskPaused, 5000)).map(\.topic) == [EventTopic.taskPaused])
    #expect(queue.count == 2 && queue.bytes <= 2000)
  }

  @Test("what is being sent is not dropped, and nothing else is sent meanwhile")
  func sending() {
    var queue = EventQueue(limits: .init(count: 2, bytes: 1 << 20))
    _ = queue.append(entry(EventTopic.taskPaused))
    let first = queue.take()
    #expect(first?.topic == EventTopic.taskPaused)
    #expect(queue.take() == nil)
    _ = queue.append(entry(EventTopic.taskResumed))
    #expect(queue.append(entry(EventTopic.taskExit)).map(\.topic) == [EventTopic.taskResumed])
    queue.finish()
    #expect(topics(of: &queue) == [EventTopic.taskExit])
  }
}

@Suite("What follows a try to deliver an event")
struct DeliveryTests {
  private let away = RPCError(code: .unavailable, message: "", reason: .connectionClosed)

  @Test("while the daemon is away the pauses double up to the longest, for ever")
  func pauses() {
    var machine = DeliveryStateMachine(
      backoff: .init(first: .milliseconds(100), most: .seconds(5)))
    let pauses = (0..<1000).map { _ in machine.failed(away) }
    #expect(
      Array(pauses.prefix(8))
        == [100, 200, 400, 800, 1600, 3200, 5000, 5000].map { .tryAgain(after: .milliseconds($0)) })
    #expect(pauses.last == .tryAgain(after: .seconds(5)))
    #expect(machine.delivered() == .next)
    #expect(machine.failed(away) == .tryAgain(after: .milliseconds(100)))
  }

  @Test(
    "what the daemon refuses is given up, in the end",
    arguments: [
      (RPCCode.invalidArgument, RPCError.Reason.status, 1), (.internal, .encoding, 1),
      (.resourceExhausted, .oversize, 1), (.unknown, .status, 20), (.unimplemented, .status, 20),
    ])
  func refusals(code: RPCCode, reason: RPCError.Reason, tries: Int) {
    var machine = DeliveryStateMachine(
      backoff: .init(first: .milliseconds(100), most: .seconds(5)))
    let error = RPCError(code: code, message: "", reason: reason)
    for _ in 1..<tries { #expect(machine.failed(error) != .giveUp) }
    #expect(machine.failed(error) == .giveUp)
  }
}
