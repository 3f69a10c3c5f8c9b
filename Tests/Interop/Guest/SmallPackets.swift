internal import CLinux
internal import Glibc
internal import NIOCore
internal import TransportCore
internal import VsockTransport

/// Sockets whose peers send no large packets, since they are told of little room.
///
/// vhost-device-vsock 0.3.0 cuts what siblings send each other off where the receiver's 4 KiB end,
/// and says nothing: a stream of larger packets, Linux's are up to 64 KiB, arrives without much of it.
enum SmallPackets {
  private static let room: UInt64 = 3584
  /// SO_VM_SOCKETS_BUFFER_SIZE of linux/vm_sockets.h, which bounds the credit of the peer.
  private static let option: CInt = 0

  static func limit(_ descriptor: CInt) throws {
    var room = room
    let size = socklen_t(MemoryLayout.size(ofValue: room))
    guard setsockopt(descriptor, AF_VSOCK, option, &room, size) == 0 else {
      throw SocketFailure(description: "SO_VM_SOCKETS_BUFFER_SIZE: errno \(errno)")
    }
  }

  /// VsockConnector with such sockets.
  struct Connector: TransportCore.Connector {
    let transport = "vsock"
    let parameters = VsockConnector().parameters

    func attempt(
      _ address: TransportAddress, options: ConnectOptions,
      configure: @escaping @Sendable (any Channel) throws -> Void
    ) async throws(AttemptFailure) -> Connection {
      try await VsockConnector().attempt(address, options: options) { channel in
        try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) {
          try limit($0)
        }
        try configure(channel)
      }
    }
  }
}

struct SocketFailure: Error, CustomStringConvertible { var description: String }

extension VsockListenerFactory {
  /// Listens on a socket that was bound before, as a service manager would hand it over.
  func listen(onBound port: UInt32, smallPackets: Bool = false) throws -> any Listener {
    let descriptor = clinux_vsock_socket()
    try Self.check(descriptor, "socket")
    do {
      // Connections have what their listener has.
      if smallPackets { try SmallPackets.limit(descriptor) }
      try Self.check(clinux_vsock_bind(descriptor, CLINUX_VSOCK_ANY, port), "bind")
      try Self.check(clinux_listen(descriptor, 128), "listen")
    } catch {
      close(descriptor)
      throw error
    }
    return try listen(adopting: descriptor)
  }

  private static func check(_ result: CInt, _ what: String) throws {
    guard result < 0 else { return }
    throw SocketFailure(description: "\(what): errno \(-result)")
  }
}
