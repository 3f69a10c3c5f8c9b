/// The open streams of a connection by their ids.
///
/// Ids grow by two and most streams are short, so the live ones are nearly dense: a ring that is
/// indexed by the id finds them without hashing. An old stream whose place a newer one takes moves
/// to a dictionary, so a long call among millions of short ones costs nobody anything.
struct StreamTable<Value> {
  private struct Slot {
    var id: UInt32
    var value: Value
  }

  private var ring: [Slot?] = []
  private var elders: [UInt32: Value] = [:]
  private(set) var count = 0

  private static var smallestRing: Int { 16 }
  /// Beyond this a ring that has become empty is given back.
  private static var keptRing: Int { 256 }

  var isEmpty: Bool { count == 0 }

  subscript(id: UInt32) -> Value? {
    guard !ring.isEmpty else { return nil }
    if let slot = ring[place(of: id)], slot.id == id { return slot.value }
    return elders.isEmpty ? nil : elders[id]
  }

  /// Adds a stream. Its id must not be in the table.
  mutating func insert(_ value: Value, for id: UInt32) {
    if ring.isEmpty {
      ring = Array(repeating: nil, count: Self.smallestRing)
    } else if count - elders.count >= ring.count / 2 {
      grow()
    }
    put(Slot(id: id, value: value))
    count += 1
  }

  @discardableResult
  mutating func remove(_ id: UInt32) -> Value? { take(id) { _ in true } }

  /// Finds a stream, and removes it if it is one of those that go once they are found.
  mutating func take(_ id: UInt32, where goes: (Value) -> Bool) -> Value? {
    guard !ring.isEmpty else { return nil }
    let place = place(of: id)
    let value: Value
    if let slot = ring[place], slot.id == id {
      value = slot.value
      guard goes(value) else { return value }
      ring[place] = nil
    } else if let elder = elders.isEmpty ? nil : elders[id] {
      value = elder
      guard goes(value) else { return value }
      elders[id] = nil
    } else {
      return nil
    }
    count -= 1
    if count == 0, ring.count > Self.keptRing { ring = [] }
    return value
  }

  /// Visits all streams, in no order that means anything.
  func forEach(_ body: (Value) -> Void) {
    for case let slot? in ring { body(slot.value) }
    for elder in elders.values { body(elder) }
  }

  /// Empties the table and returns what was in it, older streams first.
  mutating func removeAll() -> [Value] {
    var slots = ring.compactMap { $0 }
    slots.append(contentsOf: elders.map { Slot(id: $0.key, value: $0.value) })
    self = StreamTable()
    return slots.sorted { $0.id < $1.id }.map(\.value)
  }

  private func place(of id: UInt32) -> Int { Int(id >> 1) & (ring.count - 1) }

  private mutating func put(_ slot: Slot) {
    let place = place(of: slot.id)
    if let older = ring[place] { elders[older.id] = older.value }
    ring[place] = slot
  }

  private mutating func grow() {
    let old = ring
    ring = Array(repeating: nil, count: old.count * 2)
    for case let slot? in old { put(slot) }
  }
}
