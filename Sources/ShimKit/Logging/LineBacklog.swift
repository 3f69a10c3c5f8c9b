/// Lines that wait until the fifo has room, within a bound. No I/O.
struct LineBacklog {
  let limit: Int
  /// What is to be written next; the first line of it may have begun.
  private(set) var bytes: [UInt8] = []
  private(set) var dropped: UInt64 = 0
  /// Of `dropped`, what no line has told yet.
  private var untold: UInt64 = 0

  init(limit: Int) { self.limit = limit }

  /// - Parameter notice: makes the line that tells how many were dropped before this one.
  mutating func append(_ line: [UInt8], notice: (UInt64) -> [UInt8]) {
    let told = untold > 0 ? notice(untold) : []
    guard bytes.count + told.count + line.count <= limit else {
      dropped += 1
      untold += 1
      return
    }
    untold = 0
    bytes += told + line
  }

  mutating func removeFirst(_ count: Int) { bytes.removeFirst(count) }

  /// Once there is room, even if no other line comes.
  mutating func tell(_ notice: (UInt64) -> [UInt8]) {
    guard untold > 0 else { return }
    let line = notice(untold)
    guard bytes.count + line.count <= limit else { return }
    untold = 0
    bytes += line
  }
}
