internal import NIOCore
internal import Synchronization

/// The end of what a command printed as its errors, in bounded memory.
final class ErrorTail: Sendable {
  static let limit = 4096

  private let bytes = Mutex<(kept: [UInt8], isCut: Bool)>(([], false))

  func append(_ new: some Collection<UInt8>) {
    bytes.withLock { bytes in
      bytes.kept += new
      let excess = bytes.kept.count - Self.limit
      guard excess > 0 else { return }
      bytes.kept.removeFirst(excess)
      bytes.isCut = true
    }
  }

  /// For messages: one line, without what could play tricks on a terminal.
  var text: String {
    let (kept, isCut) = bytes.withLock { $0 }
    let lines = String(decoding: kept, as: UTF8.self).split(whereSeparator: \.isNewline)
      .map { line in
        String(
          String.UnicodeScalarView(
            line.unicodeScalars.filter {
              $0.properties.generalCategory != .control && $0.properties.generalCategory != .format
            }))
      }
      .filter { !$0.isEmpty }
    return (isCut ? "…" : "") + lines.joined(separator: "; ")
  }
}

/// Reads a command's errors into their tail.
final class ErrorTailHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let tail: ErrorTail

  init(_ tail: ErrorTail) { self.tail = tail }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    tail.append(unwrapInboundIn(data).readableBytesView)
  }
}
