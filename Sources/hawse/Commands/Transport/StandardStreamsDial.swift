import Glibc
import Logging
import NIOCore
import NIOPosix
import TransportCore
import TransportRelay

/// Connects our standard input and output with an address.
///
/// Standard streams may be files, which no event loop can wait for, or shared with other processes,
/// which a non-blocking mode would break. So two threads copy between them and a socket pair, whose
/// other end is bridged as any accepted connection is.
struct StandardStreamsDial {
  var address: String
  var registry: TransportRegistry
  var connect: ConnectOptions
  var endLimit: Duration
  var logger: Logger
  var atPeersEnd: StandardStreamsPump.PeersEnd

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let address = try registry.parse(address)
    let bridge = try Bridge(
      options: RelayOptions(connect: connect, endLimit: endLimit, logger: logger))
    var pair: [Int32] = [-1, -1]
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, type, 0, &pair) == 0 else {
      throw DialError(message: "no socket pair to be had: \(String(cString: strerror(errno)))")
    }
    let pump = StandardStreamsPump(socket: pair[1], atPeersEnd: atPeersEnd)
    let near = Connection(
      channel: try await channel(pair[0], bridge), address: TransportAddress(place: .descriptor(0)),
      peer: PeerIdentity(isThisProcess: true), timings: [])
    pump.start()
    let registry = registry
    let bridging = Task { try await bridge.run(near, to: address, registry: registry) }
    // It ends with the bridge at the latest; before it, what had arrived is written.
    let failure = await pump.outputEnd()
    if let failure {
      bridging.cancel()
      // Whatever it says of it, this is why it ended.
      _ = await bridging.result
      throw DialError(message: failure)
    }
    let ending = try await bridging.value
    guard ending.isClean else {
      let why = ending.cause.map { ": \($0)" } ?? ""
      throw DialError(message: "the connection to \(address) broke\(why)")
    }
  }

  private func channel(_ socket: Int32, _ bridge: Bridge) async throws -> any Channel {
    try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try bridge.prepare(channel) }
      }
      .withConnectedSocket(socket).get()
  }
}

struct DialError: Error, CustomStringConvertible {
  var message: String
  var description: String { message }
}
