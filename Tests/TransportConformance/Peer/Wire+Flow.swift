internal import NIOCore
internal import Synchronization

/// Bytes whose reader is slower than their writer, with the reader telling how far it is: what was
/// written and is not read yet is in buffers, and those must be bounded.
extension Wire {
  private static let piece = 256 << 10

  /// Reads `count` bytes with a pause after each piece, and sends after each how many it has.
  func receiveSlowly(_ pattern: Pattern, _ count: Int) async throws {
    var done = 0
    while done < count {
      let length = min(Self.piece, count - done)
      let bytes = try await receive(exactly: length)
      if let wrong = pattern.mismatch(bytes, at: done) {
        throw Broken("byte \(wrong) of \(count) is not the one that was sent")
      }
      done += length
      try await send(ByteBuffer(integer: UInt64(done)))
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// Writes `count` bytes as fast as the channel takes them, without waiting for one to be on its
  /// way, to a peer that reads with ``receiveSlowly(_:_:)``.
  ///
  /// - Returns: the most bytes that were written and not read.
  func flood(_ pattern: Pattern, _ count: Int) async throws -> Int {
    try await withThrowingTaskGroup(of: Void.self) { group in
      let progress = Progress()
      group.addTask {
        var offset = 0
        while offset < count {
          try await writable()
          guard channel.isActive else { throw Broken("closed after \(offset) of \(count) bytes") }
          let length = min(64 << 10, count - offset)
          channel.writeAndFlush(pattern.bytes(length, from: offset), promise: nil)
          offset += length
          progress.wrote(offset)
        }
      }
      group.addTask {
        var done = 0
        while done < count {
          var bytes = try await receive(exactly: 8)
          guard let read = bytes.readInteger(as: UInt64.self), read <= count, Int(read) > done
          else { throw Broken("the reader's report is not one") }
          done = Int(read)
          progress.read(done)
        }
      }
      try await group.waitForAll()
      return progress.most
    }
  }
}

private final class Progress: Sendable {
  private struct State {
    var written = 0
    var read = 0
    var most = 0
  }

  private let state = Mutex(State())

  var most: Int { state.withLock { $0.most } }

  func wrote(_ total: Int) {
    state.withLock {
      $0.written = total
      $0.most = max($0.most, total - $0.read)
    }
  }

  func read(_ total: Int) { state.withLock { $0.read = total } }
}
