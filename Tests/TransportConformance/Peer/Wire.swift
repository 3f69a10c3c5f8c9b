internal import NIOCore
internal import Synchronization
internal import TransportCore

/// One end of a connection, for checks to read and write as they like.
struct Wire: Sendable {
  let connection: Connection
  private let handler: NIOLoopBound<WireHandler>

  var channel: any Channel { connection.channel }

  /// The handlers that `configure` added, until somebody asks for them.
  ///
  /// The pipeline cannot be asked instead: a peer may have written and closed before the connection
  /// was handed over, and a closed channel has no handlers any more. One whose connection is never
  /// handed over stays, which are some hundred in all checks together.
  private static let configured = Mutex<[ObjectIdentifier: NIOLoopBound<WireHandler>]>([:])

  /// The handler that `configure` added, found again.
  init(_ connection: Connection) throws {
    self.connection = connection
    let handler = Self.configured.withLock {
      $0.removeValue(forKey: ObjectIdentifier(connection.channel))
    }
    guard let handler else { throw Broken("the connection is not on the channel of `configure`") }
    self.handler = handler
  }

  /// Adds the handler, as a protocol's `configure` does.
  ///
  /// - Parameter halfClose: a peer's end of output leaves this side's output open.
  static func configure(
    _ channel: any Channel, halfClose: Bool, greeting: ByteBuffer? = nil, seen: Seen? = nil
  ) throws {
    if halfClose {
      try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }
    let handler = WireHandler(greeting: greeting, seen: seen)
    let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
    configured.withLock { $0[ObjectIdentifier(channel)] = bound }
    try channel.pipeline.syncOperations.addHandler(handler)
  }

  // MARK: Reading

  /// The next bytes, at most `most`; `nil` at the end.
  func receive(atMost most: Int = .max) async throws -> ByteBuffer? {
    let (handler, eventLoop) = (handler, channel.eventLoop)
    return try await eventLoop.flatSubmit {
      handler.value.take(atMost: most, on: eventLoop)
    }.get()
  }

  func receive(exactly count: Int) async throws -> ByteBuffer {
    var all = ByteBuffer()
    while all.readableBytes < count {
      guard var more = try await receive(atMost: count - all.readableBytes) else {
        throw Broken("the connection ended after \(all.readableBytes) of \(count) bytes")
      }
      all.writeBuffer(&more)
    }
    return all
  }

  /// Exactly these bytes.
  func receive(_ pattern: Pattern, _ count: Int) async throws {
    var offset = 0
    while offset < count {
      guard let bytes = try await receive(atMost: count - offset) else {
        throw Broken("the connection ended after \(offset) of \(count) bytes")
      }
      if let wrong = pattern.mismatch(bytes, at: offset) {
        throw Broken("byte \(wrong) of \(count) is not the one that was sent")
      }
      offset += bytes.readableBytes
    }
  }

  /// These bytes until the end; how many there were.
  func receiveToEnd(_ pattern: Pattern) async throws -> Int {
    var offset = 0
    while let bytes = try await receive() {
      if let wrong = pattern.mismatch(bytes, at: offset) {
        throw Broken("byte \(wrong) is not the one that was sent")
      }
      offset += bytes.readableBytes
    }
    return offset
  }

  /// The end, and nothing before it.
  func receiveEnd() async throws {
    if let more = try await receive() {
      throw Broken("\(more.readableBytes) bytes came where the end was expected")
    }
  }

  // MARK: Writing

  func send(_ bytes: ByteBuffer) async throws {
    try await channel.writeAndFlush(bytes).get()
  }

  /// - Parameter chunk: the most bytes of one write.
  func send(_ pattern: Pattern, _ count: Int, chunk: Int = 64 << 10) async throws {
    var offset = 0
    while offset < count {
      let length = min(chunk, count - offset)
      try await send(pattern.bytes(length, from: offset))
      offset += length
    }
  }

  /// Waits until the channel takes more. Returns at once when it is closed.
  func writable() async throws {
    let (handler, channel) = (handler, channel)
    try await channel.eventLoop.flatSubmit { handler.value.whenWritable(channel) }.get()
  }

  func closeOutput() async throws { try await channel.close(mode: .output).get() }

  /// Closes, whatever the state; waits until it is closed.
  func close() async throws {
    channel.close(promise: nil)
    // However it ended, it ended.
    try? await channel.closeFuture.get()
  }
}
