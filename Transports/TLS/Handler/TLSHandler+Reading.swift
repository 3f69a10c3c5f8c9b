internal import NIOCore
internal import NIOTLS

/// From the network to the protocol.
extension TLSHandler {
  /// Decrypts all of what was read and passes it on in one piece.
  func decrypt(_ context: ChannelHandlerContext, _ input: UnsafeRawBufferPointer) {
    var rest = input
    while true {
      // Taken, not shared: else clearing it would make a copy.
      var buffer = plaintext ?? context.channel.allocator.buffer(capacity: 0)
      plaintext = nil
      // Plaintext is shorter than what it comes from, but the rest of a record may have come before.
      let room = rest.count + TLSEngine.recordRoom
      buffer.clear(minimumCapacity: room)
      var end = TLSEngine.ReadEnd.wantsInput
      buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { bytes in
        let result = engine.read(rest, into: bytes)
        end = result.0
        rest = UnsafeRawBufferPointer(rebasing: rest.suffix(result.unused))
        return result.count
      }
      plaintext = buffer
      // A key update's answer, or an alert.
      sendOutput(context)
      if engine.wasWelcomed || buffer.readableBytes > 0 { acceptVerdict(context) }
      // Whoever was let in just now may have had enough already.
      guard state == .open else { return }
      if buffer.readableBytes > 0 {
        hasDelivered = true
        wantsBytes = false
        context.fireChannelRead(wrapInboundOut(buffer))
      }
      switch end {
      case .wantsInput: return
      case .outputFull: if state != .open { return }
      case .closed: return receiveClose(context)
      case .failed(let fault):
        return fail(
          context, HandshakeFailure(engine, fault).later, sendsAlert: fault.receivedAlert == nil)
      }
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    // What was lent to the protocol and given back serves again; what it kept is its own.
    if hasDelivered || state != .open {
      hasDelivered = false
      context.fireChannelReadComplete()
    }
    // A handshake, or half a record: nobody was given what they wait for.
    if state == .handshaking || state == .failed || (state == .open && wantsBytes) {
      context.read()
    }
  }

  func read(context: ChannelHandlerContext) {
    wantsBytes = true
    context.read()
  }

  /// The peer sends no more, and says so: the end is the end.
  private func receiveClose(_ context: ChannelHandlerContext) {
    guard !hasReceivedClose else { return }
    if isAwaitingVerdict { return fail(context, TLSError.hungUpOnCertificate, sendsAlert: false) }
    hasReceivedClose = true
    context.fireUserInboundEventTriggered(TLSUserEvent.shutdownCompleted)
    if hasDeliveredClose { return context.close(promise: nil) }
    // What is on its way still goes out.
    if hasSentClose { return }
    if allowsHalfClosure(context) {
      context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
      // The network's own end must still be noticed.
      context.read()
    } else {
      close(context: context, mode: .all, promise: nil)
    }
  }

  private func allowsHalfClosure(_ context: ChannelHandlerContext) -> Bool {
    do {
      return try context.channel.syncOptions?.getOption(.allowRemoteHalfClosure) ?? false
    } catch {
      // The channel does not know the option: then it has no half-closure.
      return false
    }
  }
}
