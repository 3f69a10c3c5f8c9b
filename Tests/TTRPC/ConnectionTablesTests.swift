import NIOCore
import Testing

@testable import TTRPC

@Suite("A connection's tables of streams and deadlines")
struct ConnectionTablesTests {
  @Test("the stream table does what a dictionary does", arguments: 1...20 as ClosedRange<UInt64>)
  func streamTable(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var table = StreamTable<UInt32>()
    var model: [UInt32: UInt32] = [:]
    var next: UInt32 = 1
    for _ in 0..<1_500 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5:
        table.insert(next, for: next)
        model[next] = next
        next += 2 * UInt32.random(in: 1...3, using: &random)
      case 5..<9:
        // Old ones stay for long, as waits do.
        let id = model.keys.sorted().suffix(8).randomElement(using: &random) ?? next
        #expect(table[id] == model[id])
        #expect(table.remove(id) == model.removeValue(forKey: id))
      default:
        let id = UInt32.random(in: 0...next, using: &random)
        #expect(table[id] == model[id])
      }
      #expect(table.count == model.count)
    }
    #expect(table.removeAll() == model.keys.sorted())
    #expect(table.isEmpty)
  }

  @Test("a call that outlives a million others is still found")
  func longLived() {
    var table = StreamTable<String>()
    table.insert("wait", for: 1)
    var lost = 0
    for id in stride(from: 3 as UInt32, to: 2_000_003, by: 2) {
      table.insert("short", for: id)
      if table.remove(id) != "short" { lost += 1 }
    }
    #expect(lost == 0)
    #expect(table.count == 1)
    #expect(table.remove(1) == "wait")
  }

  private final class Entry {
    let at: UInt64
    var isLive = true
    init(_ at: UInt64) { self.at = at }
  }

  @Test("deadlines come soonest first, and those of ended calls not at all")
  func deadlineOrder() {
    var random = SeededGenerator(seed: 3)
    var queue = DeadlineQueue<Entry> { $0.isLive }
    let entries = (0..<3_000).map { _ in Entry(UInt64.random(in: 1...1_000, using: &random)) }
    for entry in entries { queue.insert(entry, at: .uptimeNanoseconds(entry.at)) }
    for entry in entries where Bool.random(using: &random) {
      entry.isLive = false
      queue.forget()
    }
    var seen: [UInt64] = []
    for now in [250, 500, 1_000] as [UInt64] {
      while let entry = queue.popExpired(at: .uptimeNanoseconds(now)) {
        #expect(entry.at <= now)
        #expect(entry.isLive)
        seen.append(entry.at)
      }
      if let next = queue.next() { #expect(next > .uptimeNanoseconds(now)) }
    }
    #expect(seen == entries.filter(\.isLive).map(\.at).sorted())
    #expect(queue.count == 0)
  }

  @Test("calls that end in time do not fill the queue")
  func deadlineMemory() {
    var queue = DeadlineQueue<Entry> { $0.isLive }
    var most = 0
    for index in 0..<100_000 as Range<UInt64> {
      let entry = Entry(index)
      queue.insert(entry, at: .uptimeNanoseconds(1_000_000 + index))
      entry.isLive = false
      queue.forget()
      most = max(most, queue.count)
    }
    #expect(most < 200)
  }
}
