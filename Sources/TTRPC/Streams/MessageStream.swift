import NIOCore
import RPCCore
import Synchronization

/// The connection that a stream belongs to, as the stream sees it. All of it on the event loop.
protocol StreamHost: AnyObject, SendableMetatype {
  /// Whether a message may be written now: the peer takes what is written, and this tick has not
  /// written its share already.
  var canSend: Bool { get }
  func writeData(_ id: UInt32, _ message: ByteBuffer)
  /// Lets the stream write what its tasks have put out, now or when there is room.
  func pump(_ stream: MessageStream<Self>)
  /// There is room again for what comes in.
  func roomAgain()
  /// The stream holds more than it may.
  func crowded(_ stream: MessageStream<Self>)
}

/// What both ends of a stream have in common: its tasks' side, which any thread may use, and its
/// connection's, which is the event loop's alone.
class MessageStream<Host: StreamHost>: @unchecked Sendable {
  // @unchecked: `box` has a lock; `id`, `isQueued` and what subclasses add are touched on the event
  // loop only, as `host`, a NIOLoopBound, is.

  let loop: any EventLoop
  let host: NIOLoopBound<Host>
  private let account: ReceiveAccount
  private let box = Mutex(StreamMailbox())

  /// 0 until the stream has one.
  var id: UInt32 = 0
  /// Whether it stands in the connection's queue of those that have something to write.
  var isQueued = false
  /// Whether somebody watches that what it holds does not stay too much.
  var isWatched = false
  /// What is being written; kept for its memory.
  private var writing = CircularBuffer<ByteBuffer>(initialCapacity: 1)

  init(host: NIOLoopBound<Host>, loop: any EventLoop, account: ReceiveAccount) {
    self.loop = loop
    self.host = host
    self.account = account
  }

  // MARK: The tasks' side

  final func takeNow() -> StreamMailbox.Taken {
    let taken = box.withLock { $0.take() }
    if case .message(_, let cost) = taken { release(cost) }
    return taken
  }

  final nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
    switch takeNow() {
    case .message(let message, _): return message
    case .end(let end):
      try end.get()
      return nil
    case .nothing: return try await waitForNext()
    }
  }

  private nonisolated(nonsending) func waitForNext() async throws(RPCError) -> ByteBuffer? {
    let id = box.withLock { $0.newWait() }
    let outcome = await withTaskCancellationHandler {
      await withUnsafeContinuation { (reader: StreamMailbox.Reader) in
        // A cancellation before this lock is seen here; one behind it finds the reader.
        let isCancelled = Task.isCancelled
        let taken = box.withLock { box -> StreamMailbox.Taken? in
          switch box.take() {
          case .nothing where !isCancelled && !Task.isCancelled:
            box.await(id, reader)
            return nil
          case let taken: return taken
          }
        }
        switch taken {
        case nil: break
        case .message(let message, let cost):
          release(cost)
          reader.resume(returning: .success(message))
        case .end(let end): reader.resume(returning: end.map { nil })
        case .nothing: reader.resume(returning: .failure(.receiveCancelled))
        }
      }
    } onCancel: {
      box.withLock { $0.withdrawReader(id) }?.resume(returning: .failure(.receiveCancelled))
    }
    return try outcome.get()
  }

  final nonisolated(nonsending) func send(_ message: ByteBuffer) async throws(RPCError) {
    let count = message.readableBytes
    guard count <= FrameHeader.maximumLength else { throw .oversize(count) }
    switch sendNow(message) {
    case .direct, .accepted: return
    case .refused(let error): throw error
    case .mustWait: try await waitToSend(message)
    }
  }

  private func sendNow(_ message: ByteBuffer) -> StreamMailbox.Offer {
    guard loop.inEventLoop else {
      let offer = box.withLock { $0.offer(message) }
      if case .accepted(mustPump: true) = offer { requestPump() }
      return offer
    }
    let host = host.value
    guard host.canSend else { return .mustWait }
    let offer = box.withLock { $0.offerDirect() }
    if case .direct = offer { host.writeData(id, message) }
    return offer
  }

  private nonisolated(nonsending) func waitToSend(
    _ message: ByteBuffer
  ) async throws(RPCError) {
    let id = box.withLock { $0.newWait() }
    let error = await withTaskCancellationHandler {
      await withUnsafeContinuation { (sender: StreamMailbox.Sender) in
        let wait = box.withLock { box -> StreamMailbox.SendWait in
          // A cancellation before this lock is seen here; one behind it finds the sender.
          Task.isCancelled ? .refused(.sendCancelled) : box.await(id, message, sender)
        }
        switch wait {
        case .waits(let mustPump): if mustPump { requestPump() }
        case .refused(let error): sender.resume(returning: error)
        }
      }
    } onCancel: {
      box.withLock { $0.withdrawSender(id) }?.resume(returning: .sendCancelled)
    }
    if let error { throw error }
  }

  /// Says that no message will follow. It waits for nothing: what says so on the wire is small.
  final func finishSending() {
    if box.withLock({ $0.finish() }) { requestPump() }
  }

  private func requestPump() {
    let host = host
    if loop.inEventLoop {
      host.value.pump(self)
    } else {
      loop.execute { host.value.pump(self) }
    }
  }

  private func release(_ cost: Int) {
    guard account.release(cost) else { return }
    let host = host
    loop.execute { host.value.roomAgain() }
  }

  // MARK: The event loop's side

  /// Whether a message may still be written. The state machines say.
  func maySend() -> Bool { true }

  /// Everything that the tasks put out has been written.
  func outputDrained(isFinished: Bool) {}

  /// Writes what the tasks have put out.
  ///
  /// - Returns: whether all of it was written; otherwise there was no room.
  final func writeOutput() -> Bool {
    let host = host.value
    while host.canSend {
      switch box.withLock({ $0.takeOutput(into: &writing) }) {
      case .messages:
        // As much as the outbox had room for: it need not stop halfway.
        while let message = writing.popFirst() {
          if maySend() { host.writeData(id, message) }
        }
      case .sent(let message, let sender):
        if maySend() { host.writeData(id, message) }
        sender.resume(returning: nil)
      case .nothing(let isFinished):
        outputDrained(isFinished: isFinished)
        return true
      }
    }
    return false
  }

  /// Makes the event loop come to ``outputDrained(isFinished:)``, behind what is to be written.
  final func pumpToEnd() {
    if box.withLock({ $0.beginPumping() }) { host.value.pump(self) }
  }

  /// Takes in a message from the peer.
  final func deliver(_ message: ByteBuffer) {
    let (reader, added, isCrowded) = box.withLock { box in
      let before = box.held
      let reader = box.deliver(message, account)
      let isCrowded = account.isCrowded(messages: box.queued, cost: box.held)
      return (reader, box.held - before, isCrowded)
    }
    if let reader { return reader.resume(returning: .success(message)) }
    account.add(added)
    if isCrowded { host.value.crowded(self) }
  }

  /// What it holds, and how many messages its tasks have taken until now.
  final var load: (messages: Int, cost: Int, taken: UInt64) {
    box.withLock { ($0.queued, $0.held, $0.taken) }
  }

  /// The peer will send no more; this side may.
  final func endInput() {
    let readers = box.withLock { $0.endInput(.success(()), dropping: false, isLast: false) }
    for (_, reader) in readers { reader.resume(returning: .success(nil)) }
  }

  /// This side sends nothing from the beginning.
  final func withholdOutput() { _ = box.withLock { $0.finish() } }

  /// Nothing will be sent or received any more.
  ///
  /// - Parameter dropping: whether what has come and was not asked for is dropped.
  final func end(_ end: Result<Void, RPCError>, dropping: Bool) {
    let error: RPCError
    switch end {
    case .success: error = .ended
    case .failure(let failure): error = failure
    }
    // Both at once: whoever has seen the one end must find the other.
    let (held, readers, senders) = box.withLock { box in
      let held = box.held
      return (
        held, box.endInput(end, dropping: dropping, isLast: true), box.endOutput(error)
      )
    }
    release(held)
    for (_, reader) in readers { reader.resume(returning: end.map { nil }) }
    for (_, _, sender) in senders { sender.resume(returning: error) }
  }
}

extension RPCError {
  fileprivate static var receiveCancelled: RPCError {
    RPCError(
      code: .cancelled, message: "the task that waited for a message was cancelled",
      reason: .cancelled)
  }

  fileprivate static var sendCancelled: RPCError {
    RPCError(
      code: .cancelled, message: "the task that waited to send was cancelled; nothing was sent",
      reason: .cancelled)
  }

  fileprivate static var ended: RPCError {
    RPCError(
      code: .failedPrecondition,
      message: "the peer has ended the call: it takes no more messages")
  }
}
