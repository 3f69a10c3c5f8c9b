#if GRPC
  internal import NIOCore
  internal import RPCCore
  internal import Synchronization

  /// The messages of a stream that have come and that nobody has taken yet, between the task that
  /// reads the network and the tasks that use the stream.
  ///
  /// It is what lets a task be cancelled while it waits for a message without the stream's end, which
  /// the library's own sequence would take for one.
  final class StreamInbox: Sendable {
    typealias Ending = Result<Void, RPCError>
    private typealias Reader = CheckedContinuation<Result<ByteBuffer?, RPCError>, Never>

    /// How much is kept before the network is not read any more: HTTP/2's flow control then stops
    /// the peer. One message is always kept.
    private static let room = 64 << 10
    private static let messageOverhead = 128

    private struct State {
      var messages: CircularBuffer<ByteBuffer> = []
      var held = 0
      var ending: Ending?
      var readers: [(id: UInt64, reader: Reader)] = []
      var lastID: UInt64 = 0
      /// The reader of the network, when there is no room.
      var pump: CheckedContinuation<Void, Never>?
      /// Those who wait for the end alone.
      var watchers: [CheckedContinuation<Ending, Never>] = []
    }

    private let state = Mutex(State())

    var ending: Ending? { state.withLock { $0.ending } }

    // MARK: The reader of the network

    /// Takes in a message; waits until there is room for another.
    func deliver(_ message: ByteBuffer) async {
      let reader = state.withLock { state -> Reader? in
        guard state.ending == nil else { return nil }
        if !state.readers.isEmpty { return state.readers.removeFirst().reader }
        state.messages.append(message)
        state.held += message.readableBytes + Self.messageOverhead
        return nil
      }
      if let reader { return reader.resume(returning: .success(message)) }
      await withCheckedContinuation { continuation in
        let goesOn = state.withLock { state in
          if state.ending != nil || state.held <= Self.room { return true }
          state.pump = continuation
          return false
        }
        if goesOn { continuation.resume() }
      }
    }

    /// Nothing more will come. The first end is the one that counts.
    ///
    /// - Parameter dropping: whether what nobody has taken yet is dropped, and the end replaced
    ///   that nobody has seen yet.
    func end(_ ending: Ending, dropping: Bool = false) {
      let (readers, pump, watchers, end) = state.withLock { state in
        if dropping, state.ending == nil || !state.messages.isEmpty {
          state.ending = ending
          state.messages.removeAll()
          state.held = 0
        } else if state.ending == nil {
          state.ending = ending
        }
        let readers = state.readers
        let pump = state.pump
        let watchers = state.watchers
        state.readers = []
        state.pump = nil
        state.watchers = []
        return (readers, pump, watchers, state.ending ?? ending)
      }
      for (_, reader) in readers { reader.resume(returning: end.map { nil }) }
      for watcher in watchers { watcher.resume(returning: end) }
      pump?.resume()
    }

    // MARK: The stream's tasks

    nonisolated(nonsending) func next() async throws(RPCError) -> ByteBuffer? {
      let id = state.withLock { state in
        state.lastID += 1
        return state.lastID
      }
      let outcome = await withTaskCancellationHandler {
        await withCheckedContinuation { (reader: Reader) in
          let (now, pump) = state.withLock { state in take(&state, id, reader) }
          pump?.resume()
          if let now { return reader.resume(returning: now) }
          // What came before there was anybody to wake.
          if Task.isCancelled { withdraw(id) }
        }
      } onCancel: {
        withdraw(id)
      }
      return try outcome.get()
    }

    private func take(
      _ state: inout State, _ id: UInt64, _ reader: Reader
    ) -> (Result<ByteBuffer?, RPCError>?, CheckedContinuation<Void, Never>?) {
      if let message = state.messages.popFirst() {
        state.held -= message.readableBytes + Self.messageOverhead
        guard state.held <= Self.room else { return (.success(message), nil) }
        defer { state.pump = nil }
        return (.success(message), state.pump)
      }
      if let ending = state.ending { return (ending.map { nil }, nil) }
      state.readers.append((id, reader))
      return (nil, nil)
    }

    private func withdraw(_ id: UInt64) {
      let reader = state.withLock { state -> Reader? in
        guard let index = state.readers.firstIndex(where: { $0.id == id }) else { return nil }
        return state.readers.remove(at: index).reader
      }
      reader?.resume(
        returning: .failure(
          RPCError(
            code: .cancelled, message: "the task that waited for a message was cancelled",
            reason: .cancelled)))
    }

    /// How the stream ended, once it has. The network's reader sees to that.
    nonisolated(nonsending) func waitForEnd() async -> Ending {
      await withCheckedContinuation { watcher in
        let ending = state.withLock { state -> Ending? in
          if state.ending == nil { state.watchers.append(watcher) }
          return state.ending
        }
        if let ending { watcher.resume(returning: ending) }
      }
    }
  }
#endif
