import NIOCore
import RPCCore

/// What lies between a stream's tasks and its connection's event loop: messages that have come and
/// were not asked for, messages that shall go and were not written, and who waits for either.
///
/// It is guarded by its stream's lock, so that neither side has to visit the other's thread for a
/// message. It does no I/O; who is to be resumed is handed to the caller, who does so outside of
/// the lock.
struct StreamMailbox {
  typealias Reader = UnsafeContinuation<Result<ByteBuffer?, RPCError>, Never>
  typealias Sender = UnsafeContinuation<RPCError?, Never>

  /// What a message costs beside its bytes, so that empty ones count too.
  static let messageOverhead = 128
  /// How many bytes tasks outside of the event loop may put out before they have to wait.
  static let outboxRoom = 64 << 10

  private var lastWait: UInt64 = 0

  init() {}

  /// A number for a wait, by which it can be withdrawn.
  mutating func newWait() -> UInt64 {
    lastWait += 1
    return lastWait
  }

  // MARK: What comes in

  private var inbox = CircularBuffer<ByteBuffer>(initialCapacity: 1)
  /// What the inbox costs the connection's account; nothing once the stream has ended, since the
  /// connection is done with it then.
  private(set) var held = 0
  private var isCounted = true
  private var inputEnd: Result<Void, RPCError>?
  private var readers = CircularBuffer<(id: UInt64, reader: Reader)>(initialCapacity: 1)
  /// How many messages tasks have taken: a stream that is not read shows in its standing still.
  private(set) var taken: UInt64 = 0

  var queued: Int { inbox.count }

  enum Taken {
    case message(ByteBuffer, cost: Int)
    case nothing
    case end(Result<Void, RPCError>)
  }

  mutating func take() -> Taken {
    if let message = inbox.popFirst() {
      let cost = isCounted ? Self.cost(of: message) : 0
      held -= cost
      taken &+= 1
      return .message(message, cost: cost)
    }
    if let inputEnd { return .end(inputEnd) }
    return .nothing
  }

  /// Puts a reader on the list. Only when there was nothing to take, under the same lock.
  mutating func await(_ id: UInt64, _ reader: Reader) { readers.append((id, reader)) }

  mutating func withdrawReader(_ id: UInt64) -> Reader? {
    guard let index = readers.firstIndex(where: { $0.id == id }) else { return nil }
    return readers.remove(at: index).reader
  }

  /// Takes in a message, unless the input has ended.
  ///
  /// - Returns: the reader that is to have it now; without one it is kept.
  mutating func deliver(_ message: ByteBuffer, _ account: ReceiveAccount) -> Reader? {
    guard inputEnd == nil else { return nil }
    if let (_, reader) = readers.popFirst() {
      taken &+= 1
      return reader
    }
    inbox.append(account.compact(message))
    if isCounted { held += Self.cost(of: message) }
    return nil
  }

  /// Nothing more will come in. What has come can still be taken, unless it is dropped.
  ///
  /// - Returns: the readers that wait, of whom each gets the end.
  mutating func endInput(
    _ end: Result<Void, RPCError>, dropping: Bool, isLast: Bool
  ) -> CircularBuffer<(id: UInt64, reader: Reader)> {
    if inputEnd == nil || dropping {
      // A stream whose success nobody has seen yet fails all the same when it is given up.
      inputEnd = end
    }
    if dropping { inbox = CircularBuffer(initialCapacity: 1) }
    if isLast {
      isCounted = false
      held = 0
    }
    guard !readers.isEmpty else { return readers }
    defer { readers = CircularBuffer(initialCapacity: 1) }
    return readers
  }

  static func cost(of message: ByteBuffer) -> Int { message.readableBytes + messageOverhead }

  // MARK: What goes out

  private var outbox = CircularBuffer<ByteBuffer>(initialCapacity: 1)
  private var outboxBytes = 0
  private var senders = CircularBuffer<(id: UInt64, message: ByteBuffer, sender: Sender)>(
    initialCapacity: 1)
  private var outputEnd: RPCError?
  /// Whether the tasks have said that they send no more.
  private var isFinished = false
  /// Whether the event loop knows that there is something to write, or is writing it.
  private(set) var isPumped = false

  enum Offer {
    /// Nothing stands before it: the event loop may write it now.
    case direct
    /// It has been taken over.
    case accepted(mustPump: Bool)
    case mustWait
    case refused(RPCError)
  }

  /// Whether a message may be written at once, on the event loop.
  func offerDirect() -> Offer {
    if let refusal { return .refused(refusal) }
    return isPumped ? .mustWait : .direct
  }

  /// Takes over a message from another thread, if there is room.
  mutating func offer(_ message: ByteBuffer) -> Offer {
    if let refusal { return .refused(refusal) }
    guard senders.isEmpty, outboxBytes < Self.outboxRoom else { return .mustWait }
    outbox.append(message)
    outboxBytes += Self.cost(of: message)
    return .accepted(mustPump: beginPumping())
  }

  enum SendWait {
    case waits(mustPump: Bool)
    case refused(RPCError)
  }

  mutating func await(_ id: UInt64, _ message: ByteBuffer, _ sender: Sender) -> SendWait {
    if let refusal { return .refused(refusal) }
    senders.append((id, message, sender))
    return .waits(mustPump: beginPumping())
  }

  mutating func withdrawSender(_ id: UInt64) -> Sender? {
    guard let index = senders.firstIndex(where: { $0.id == id }) else { return nil }
    return senders.remove(at: index).sender
  }

  private var refusal: RPCError? {
    if let outputEnd { return outputEnd }
    return isFinished ? .sendAfterFinish : nil
  }

  /// Notes that no message will follow.
  ///
  /// - Returns: whether the event loop must be told.
  mutating func finish() -> Bool {
    guard outputEnd == nil, !isFinished else { return false }
    isFinished = true
    return beginPumping()
  }

  /// - Returns: whether the event loop must be told that there is something to write.
  mutating func beginPumping() -> Bool {
    guard !isPumped else { return false }
    isPumped = true
    return true
  }

  enum Output {
    /// The outbox's messages have been moved over.
    case messages
    /// A message that its task waits to have written.
    case sent(ByteBuffer, Sender)
    /// There is nothing now; whether the last message has been written, too.
    case nothing(isFinished: Bool)
  }

  /// Hands the event loop what is to be written next, in order.
  ///
  /// - Parameter messages: must be empty; takes the outbox's place.
  mutating func takeOutput(into messages: inout CircularBuffer<ByteBuffer>) -> Output {
    if !outbox.isEmpty {
      swap(&outbox, &messages)
      outboxBytes = 0
      return .messages
    }
    if let (_, message, sender) = senders.popFirst() { return .sent(message, sender) }
    isPumped = false
    return .nothing(isFinished: isFinished)
  }

  /// Nothing will be written any more.
  ///
  /// - Returns: the senders that wait, who get the error.
  mutating func endOutput(
    _ error: RPCError
  ) -> CircularBuffer<(id: UInt64, message: ByteBuffer, sender: Sender)> {
    if outputEnd == nil { outputEnd = error }
    outbox = CircularBuffer(initialCapacity: 1)
    outboxBytes = 0
    guard !senders.isEmpty else { return senders }
    defer { senders = CircularBuffer(initialCapacity: 1) }
    return senders
  }
}

extension RPCError {
  static var sendAfterFinish: RPCError {
    RPCError(
      code: .failedPrecondition,
      message: "this side of the stream has been finished: nothing can be sent any more")
  }
}
