internal import NIOCore

/// The events that wait for the daemon, in their order, within bounds. No I/O, no clock.
struct EventQueue {
  struct Entry: Equatable {
    var topic: String
    /// The encoded request.
    var payload: ByteBuffer
    var importance: EventImportance
    fileprivate(set) var number: UInt64 = 0

    init(topic: String, payload: ByteBuffer) {
      self.topic = topic
      self.payload = payload
      importance = EventImportance(topic: topic)
    }

    /// About what it takes in memory.
    var size: Int { payload.readableBytes + topic.utf8.count + Self.overhead }

    private static let overhead = 128
  }

  struct Limits: Equatable {
    var count: Int
    var bytes: Int
  }

  let limits: Limits
  /// One line for each importance: the whole order is that of the numbers.
  private var lines = [CircularBuffer<Entry>](
    repeating: CircularBuffer(), count: EventImportance.allCases.count)
  private var sending: Entry?
  private var lastNumber: UInt64 = 0
  /// With what is being sent.
  private(set) var count = 0
  private(set) var bytes = 0

  init(limits: Limits) { self.limits = limits }

  var isEmpty: Bool { count == 0 }

  /// Takes an event in, behind the others.
  ///
  /// - Returns: what had to go for it: the least important first, of these the oldest. It may be
  ///   the event itself, but never the one that is being sent.
  mutating func append(_ entry: Entry) -> [Entry] {
    lastNumber += 1
    var entry = entry
    entry.number = lastNumber
    lines[entry.importance.rawValue].append(entry)
    count += 1
    bytes += entry.size
    var dropped: [Entry] = []
    while count > limits.count || bytes > limits.bytes, let victim = removeLeastImportant() {
      dropped.append(victim)
    }
    return dropped
  }

  /// The event to send now: the oldest. Nil when there is none, or one is being sent.
  mutating func take() -> Entry? {
    guard sending == nil else { return nil }
    var oldest: (line: Int, number: UInt64)?
    for (line, entries) in lines.enumerated() {
      guard let first = entries.first, first.number < oldest?.number ?? .max else { continue }
      oldest = (line, first.number)
    }
    guard let oldest else { return nil }
    sending = lines[oldest.line].removeFirst()
    return sending
  }

  /// Forgets the event that was being sent: it was delivered, or is given up.
  mutating func finish() {
    guard let entry = sending else { return }
    sending = nil
    remove(entry)
  }

  private mutating func removeLeastImportant() -> Entry? {
    for line in lines.indices where !lines[line].isEmpty {
      let entry = lines[line].removeFirst()
      remove(entry)
      return entry
    }
    return nil
  }

  private mutating func remove(_ entry: Entry) {
    count -= 1
    bytes -= entry.size
  }
}
