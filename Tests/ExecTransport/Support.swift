import ExecTransport
import Glibc
import NIOCore
import NIOPosix
import ProcessSupervision
import Testing
import TransportCore

struct Failure: Error { var what: String }

/// What a connection brought, in order.
enum Arrival: Sendable, Equatable {
  case bytes(String)
  case inputEnd
  case error(TransportError.Code, String)
}

/// Everything that a connection brings, as a stream.
final class Arrivals: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let arrivals: AsyncStream<Arrival>.Continuation

  init(_ arrivals: AsyncStream<Arrival>.Continuation) { self.arrivals = arrivals }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    arrivals.yield(.bytes(String(buffer: unwrapInboundIn(data))))
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event { arrivals.yield(.inputEnd) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    let error = error as? TransportError
    arrivals.yield(.error(error?.code ?? .cancelled, error?.message ?? "another error"))
  }

  func channelInactive(context: ChannelHandlerContext) { arrivals.finish() }
}

/// A connection through a command, and what it brings.
struct CommandConnection: Sendable {
  var connection: Connection
  var arrivals: AsyncStream<Arrival>

  var channel: any Channel { connection.channel }
  /// 0, which no process has, when the transport does not tell.
  var pid: Int32 { connection.peer.command?.pid ?? 0 }

  static func open(
    _ words: String..., environment: [String] = [], options: ExecOptions = .patient,
    mode: ConnectOptions.Mode = .failFast, halfClosure: Bool = true
  ) async throws -> CommandConnection {
    let (stream, continuation) = AsyncStream<Arrival>.makeStream()
    let connection = try await ExecConnector(options: options).connect(
      to: address(words, environment: environment), options: .patient(mode: mode)
    ) { channel in
      try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: halfClosure)
      try channel.pipeline.syncOperations.addHandler(Arrivals(continuation))
    }
    return CommandConnection(connection: connection, arrivals: stream)
  }

  func send(_ text: String) async throws {
    try await channel.writeAndFlush(ByteBuffer(string: text))
  }

  /// The next `count` bytes, or those before the end.
  func read(_ count: Int) async -> String {
    var text = ""
    for await arrival in arrivals {
      if case .bytes(let more) = arrival { text += more }
      if text.utf8.count >= count || arrival == .inputEnd { break }
    }
    return text
  }

  /// All that comes until the input or the connection ends, with bytes in one piece.
  func all() async -> (text: String, rest: [Arrival]) {
    var text = ""
    var rest: [Arrival] = []
    for await arrival in arrivals {
      guard case .bytes(let more) = arrival else {
        rest.append(arrival)
        if arrival == .inputEnd { break }
        continue
      }
      text += more
    }
    return (text, rest)
  }

  func close() async throws {
    do {
      try await channel.close()
    } catch ChannelError.alreadyClosed {
      // A command that ended by itself was faster.
    }
  }
}

func address(_ words: [String], environment: [String] = []) -> TransportAddress {
  TransportAddress(
    place: .exec,
    parameters: words.map { .init("arg", $0) } + environment.map { .init("env", $0) })
}

/// Whether a process is there that is not waiting to be collected.
func isRunning(_ pid: Int32) -> Bool { ProcessStatus(pid: pid).map { !$0.isDead } ?? false }

/// Waits for a condition that another thread or process brings about; an upper bound against hangs.
func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
  let clock = ContinuousClock()
  let end = clock.now + .seconds(60)
  while try await !condition() {
    guard clock.now < end else { throw Failure(what: "not in time: \(what)") }
    try await clock.sleep(for: .milliseconds(5))
  }
}

extension ConnectOptions {
  /// Limits that only a hang reaches, however busy the machine is.
  static func patient(mode: Mode = .failFast, policy: PeerPolicy? = nil) -> ConnectOptions {
    ConnectOptions(timeout: .seconds(600), tryLimit: .seconds(600), mode: mode, policy: policy)
  }
}

extension ExecOptions {
  /// No force before a command that ends by itself has had the time, however busy the machine is.
  static let patient = ExecOptions(closeGrace: .seconds(60), killGrace: .seconds(60))
  static let impatient = ExecOptions(
    closeGrace: .milliseconds(50), killGrace: .milliseconds(50))
}
