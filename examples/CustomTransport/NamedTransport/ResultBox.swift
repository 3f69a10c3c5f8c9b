internal import NIOCore
internal import Synchronization

/// The future of a handshake, from the channel's initialiser to who waits for it.
final class ResultBox: Sendable {
  private let future = Mutex<EventLoopFuture<Void>?>(nil)

  func set(_ future: EventLoopFuture<Void>) { self.future.withLock { $0 = future } }

  func get() async throws {
    // The initialiser ran before anybody can wait.
    try await future.withLock { $0 }?.get()
  }
}
