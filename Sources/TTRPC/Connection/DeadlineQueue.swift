import NIOCore

/// The deadlines of a connection's calls, soonest first: one timer serves them all.
///
/// A call that ends before its deadline leaves its entry behind and says so with ``forget()``;
/// entries of ended calls are cleared away when they outnumber the others.
struct DeadlineQueue<Element> {
  private struct Entry {
    var deadline: NIODeadline
    var element: Element
  }

  /// A binary heap: an entry is never later than its two children.
  private var heap: [Entry] = []
  private var stale = 0
  private let isLive: (Element) -> Bool

  /// - Parameter isLive: whether an element still waits for its deadline.
  init(isLive: @escaping (Element) -> Bool) { self.isLive = isLive }

  var count: Int { heap.count }

  mutating func insert(_ element: Element, at deadline: NIODeadline) {
    heap.append(Entry(deadline: deadline, element: element))
    siftUp(from: heap.count - 1)
  }

  /// Notes that one element that was inserted no longer waits.
  mutating func forget() {
    stale += 1
    guard stale > 64, stale > heap.count / 2 else { return }
    heap.removeAll { !isLive($0.element) }
    stale = 0
    for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(from: index) }
  }

  /// The soonest deadline that somebody waits for.
  mutating func next() -> NIODeadline? {
    while let first = heap.first {
      if isLive(first.element) { return first.deadline }
      _ = removeFirst()
      stale = max(0, stale - 1)
    }
    return nil
  }

  /// Takes out the next element whose deadline has come.
  mutating func popExpired(at now: NIODeadline) -> Element? {
    guard let deadline = next(), deadline <= now else { return nil }
    return removeFirst()
  }

  mutating func removeAll() {
    heap = []
    stale = 0
  }

  private mutating func removeFirst() -> Element {
    let first = heap[0]
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      siftDown(from: 0)
    }
    return first.element
  }

  private mutating func siftUp(from start: Int) {
    var index = start
    while index > 0 {
      let parent = (index - 1) / 2
      guard heap[index].deadline < heap[parent].deadline else { return }
      heap.swapAt(index, parent)
      index = parent
    }
  }

  private mutating func siftDown(from start: Int) {
    var index = start
    while true {
      var soonest = index
      for child in [2 * index + 1, 2 * index + 2] where child < heap.count {
        if heap[child].deadline < heap[soonest].deadline { soonest = child }
      }
      guard soonest != index else { return }
      heap.swapAt(index, soonest)
      index = soonest
    }
  }
}
