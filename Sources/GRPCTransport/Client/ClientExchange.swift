#if GRPC
  internal import GRPCCore
  internal import GRPCNIOTransportHTTP2Posix
  internal import NIOCore
  internal import RPCCore
  internal import TransportCore

  /// One call on a connection.
  struct ClientExchange: Sendable {
    typealias Bytes = GRPCNIOTransportBytes

    let link: GRPCLink
    let method: RPCMethod
    let call: RPCCallOptions

    init(_ link: GRPCLink, _ method: RPCMethod, _ call: RPCCallOptions) {
      self.link = link
      self.method = method
      self.call = call
    }

    /// The limit in the library's options for requests is the one that it applies to responses.
    var options: CallOptions {
      var options = CallOptions.defaults
      options.maxRequestMessageBytes = link.options.maximumMessageBytes
      return options
    }

    func check(_ message: ByteBuffer) throws(RPCError) {
      let most = link.options.maximumMessageBytes
      guard message.readableBytes <= most else {
        throw RPCError(
          code: .resourceExhausted,
          message: "\(method): a message of \(message.readableBytes) bytes is larger than the "
            + "\(most) that this side sends",
          reason: .oversize)
      }
    }

    // MARK: Unary

    nonisolated(nonsending) func unary(_ payload: ByteBuffer) async throws(RPCError) -> ByteBuffer {
      let metadata = try Metadata(call)
      try check(payload)
      guard link.isUsable else { throw neverSent(nil) }
      guard let timeout = call.timeout else { return try await once(metadata, payload).get() }
      guard timeout > .zero else { throw expired }
      return try await withTaskGroup(of: Result<ByteBuffer, RPCError>?.self) { group in
        group.addTask { await once(metadata, payload) }
        group.addTask {
          // Cancelled when the answer came first.
          _ = await link.connection.channel.eventLoop.sleep(for: timeout)
          return nil
        }
        let first = await group.next() ?? nil
        group.cancelAll()
        // An answer that came with the last moment counts.
        for await other in group {
          if let first { return first }
          if case .success(let answer)? = other { return .success(answer) }
        }
        return first ?? .failure(Task.isCancelled ? cancelled : expired)
      }.get()
    }

    private nonisolated(nonsending) func once(
      _ metadata: Metadata, _ payload: ByteBuffer
    ) async -> Result<ByteBuffer, RPCError> {
      var hasBegun = false
      do {
        return try await link.transport.withStream(
          descriptor: MethodDescriptor(method, .unary), options: options
        ) { stream, _ in
          hasBegun = true
          do {
            try await stream.outbound.write(
              contentsOf: [.metadata(metadata), .message(Bytes(payload))])
            await stream.outbound.finish()
          } catch {
            // Why it could not be sent is what the peer's status says, or the connection's end.
          }
          return await answer(stream.inbound)
        }
      } catch {
        return .failure(hasBegun || Task.isCancelled ? failure(error) : neverSent(error))
      }
    }

    /// One message and then the status.
    private func answer(
      _ inbound: RPCAsyncSequence<RPCResponsePart<Bytes>, any Error>
    ) async -> Result<ByteBuffer, RPCError> {
      var message: ByteBuffer?
      do {
        for try await part in inbound {
          switch part {
          case .metadata: break
          case .message(let bytes):
            guard message == nil else { return .failure(violation("more than one response")) }
            message = bytes.asBuffer
          case .status(let status, let trailers):
            guard status.code == .ok else { return .failure(failure(status, trailers)) }
            guard let message else { return .failure(violation("no response, and success")) }
            return .success(message)
          }
        }
      } catch {
        return .failure(failure(error))
      }
      return .failure(Task.isCancelled ? cancelled : lost(nil))
    }

    // MARK: Errors

    func violation(_ what: String) -> RPCError {
      RPCError(
        code: .internal, message: "\(method): the peer sent \(what)", reason: .protocolViolation)
    }

    var cancelled: RPCError {
      RPCError(
        code: .cancelled, message: "\(method): the calling task was cancelled", reason: .cancelled)
    }

    var expired: RPCError {
      RPCError(
        code: .deadlineExceeded,
        message: "\(method): no answer within \(call.timeout.map { "\($0)" } ?? "its time")",
        reason: .deadline)
    }

    func lost(_ cause: (any Error)?) -> RPCError {
      RPCError(
        code: .unavailable,
        message: "\(method): the connection to \(link.connection.address) "
          + (link.signals.isLeaving ? "takes no more calls" : "was lost"),
        reason: .connectionClosed, cause: cause ?? link.signals.error)
    }

    /// A call that failed before anything of it was sent, or that the peer says it has not begun with:
    /// making it again is safe.
    struct NeverSent: Error, CustomStringConvertible {
      var cause: (any Error)?
      var description: String { cause.map { "\($0)" } ?? "nothing of the call was sent" }
    }

    func neverSent(_ cause: (any Error)?) -> RPCError {
      lost(NeverSent(cause: cause ?? link.signals.error))
    }

    /// What the library makes up when a stream ends without a status, in its own words: nothing else
    /// tells it from a peer that answers Unavailable.
    private static let madeUp: Set<String> = ["Stream unexpectedly closed.", madeUpOfError]
    private static let madeUpOfError = "Stream unexpectedly closed with error."

    func failure(_ status: Status, _ trailers: Metadata) -> RPCError {
      if status.code == .unavailable, trailers.isEmpty, Self.madeUp.contains(status.message) {
        // LeavingGuard ends a call so, and a GOAWAY that names an earlier call as its last the later
        // ones, which were not begun with (RFC 9113, 6.8). The connection's own end does not.
        let isPassedOver =
          status.message == Self.madeUpOfError && link.signals.isLeaving
          && link.signals.error == nil
        return isPassedOver ? neverSent(nil) : lost(nil)
      }
      if status.code == .internalError, trailers.isEmpty,
        status.message.hasPrefix("Failed to decode message")
      {
        return RPCError(
          code: .resourceExhausted,
          message: "\(method): the peer's message is larger than the "
            + "\(link.options.maximumMessageBytes) bytes that this side takes, or no message",
          reason: .oversize)
      }
      if status.code == .unavailable, trailers.isEmpty,
        let code = RPCCode(resetIn: status.message)
      {
        // A stream that was refused was not begun with (RFC 9113, 8.7).
        let isRefused = status.message.contains("(0x7:")
        return RPCError(
          code: code, message: "\(method): the peer reset the call: \(status.message)",
          cause: isRefused ? NeverSent(cause: nil) : nil)
      }
      return RPCError(status, trailers)
    }

    func failure(_ error: any Error) -> RPCError {
      if error is CancellationError || Task.isCancelled { return cancelled }
      if let error = error as? GRPCError, error.code != .unavailable {
        return RPCError(
          code: RPCCode(rawValue: Int32(error.code.rawValue)),
          message: "\(method): \(error.message)", reason: .protocolViolation, cause: error)
      }
      return lost(error)
    }
  }

  extension RPCCode {
    /// What a reset stream means (gRPC over HTTP/2, "Errors"), of which the library leaves the number
    /// in its text alone. Nil: the text is no reset's.
    init?(resetIn text: String) {
      let lead = "Stream unexpectedly closed: received RST_STREAM frame (0x"
      guard text.hasPrefix(lead) else { return nil }
      let digits = text.dropFirst(lead.count).prefix { $0.isHexDigit }
      switch UInt32(digits, radix: 16) {
      case 0x7: self = .unavailable
      case 0x8: self = .cancelled
      case 0xb: self = .resourceExhausted
      case 0xc: self = .permissionDenied
      case .some: self = .internal
      case nil: return nil
      }
    }
  }
#endif
