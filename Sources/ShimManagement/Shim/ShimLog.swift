internal import Glibc
internal import LinuxSystem
internal import Logging
internal import NIOCore
internal import NIOPosix

/// The `log` fifo of a bundle, which a shim opens for writing before it serves.
///
/// Whoever starts a shim must hold the fifo open, or the shim waits in open(2) until somebody does.
/// What comes out of it goes to the logger, a line each, for as long as this process runs.
struct ShimLog: Sendable {
  private static let lineLimit = 16 * 1024
  private let channel: any Channel

  /// Makes the fifo and starts to read it. An existing fifo is used as it is.
  static func open(in bundle: Bundle, logger: Logger) async throws(ShimManagementError) -> ShimLog {
    let path = "\(bundle.path)/log"
    if mkfifo(path, 0o700) != 0 && errno != EEXIST {
      throw failure("make", path, errno)
    }
    // Open for writing too: opening for reading alone would report the end of the file until the
    // shim is there, and again after each of its writers is gone.
    let descriptor = Glibc.open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw failure("open", path, errno) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFIFO else {
      Glibc.close(descriptor)
      throw ShimManagementError(
        code: .damagedState, message: "\(path) is not a fifo",
        hint: "It is where the shim writes its log; move it away.")
    }
    let labelled = logger.labelled(bundle)
    do {
      let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
              LineLogger(logger: labelled, limit: lineLimit))
          }
        }
        .takingOwnershipOfDescriptor(input: descriptor).get()
      return ShimLog(channel: channel)
    } catch {
      throw ShimManagementError(
        code: .internal, message: "cannot read the shim's log \(path)", cause: error)
    }
  }

  func close() async {
    // A channel that is closed already is what was asked for.
    try? await channel.close()
  }

  private static func failure(
    _ verb: String, _ path: String, _ number: Int32
  ) -> ShimManagementError {
    ShimManagementError(
      code: .stateDirectory,
      message: "cannot \(verb) the shim's log \(path): \(errnoText(number))")
  }
}

/// Splits what it reads into lines and logs each. A line over the limit is logged in pieces.
private final class LineLogger: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let logger: Logger
  private let limit: Int
  private var pending = ByteBuffer()

  init(logger: Logger, limit: Int) {
    self.logger = logger
    self.limit = limit
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var incoming = unwrapInboundIn(data)
    pending.writeBuffer(&incoming)
    while let line = nextLine() {
      logger.debug("shim: \(line)")
    }
    pending.discardReadBytes()
  }

  private func nextLine() -> String? {
    let bytes = pending.readableBytesView
    if let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
      let line = pending.readString(length: end - bytes.startIndex)
      pending.moveReaderIndex(forwardBy: 1)
      return line
    }
    return bytes.count >= limit ? pending.readString(length: limit) : nil
  }
}

extension Logger {
  fileprivate func labelled(_ bundle: Bundle) -> Logger {
    var labelled = self
    labelled[metadataKey: "shim-of"] = "\(bundle.namespace)/\(bundle.id)"
    return labelled
  }
}
