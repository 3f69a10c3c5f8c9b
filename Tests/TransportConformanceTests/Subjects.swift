import Glibc
import MemoryTransport
import NIOCore
import TransportConformance
import TransportCore
import UnixTransport

extension ConformanceSubject {
  /// Unix sockets with abstract names: what a transport's own tests say of it.
  static let unix = ConformanceSubject(
    name: "unix", registry: .unix, peer: .listener { freshAddress() }
  ) {
    $0.phases = [.connect, .identity]
    $0.identifiesListener = { $0.unix?.pid == getpid() && $0.unix?.uid == geteuid() }
    $0.identifiesDialer = { $0.unix?.pid == getpid() && $0.unix?.uid == geteuid() }
    $0.mute = { try await .withFullBacklog() }
    $0.inherited = { try UnixListener(adopting: listeningSocket()) }
  }

  static let memory = ConformanceSubject(
    name: "memory", registry: .memory,
    peer: .listener { TransportAddress(place: .memory(name: uniqueName())) })
}

func uniqueName() -> String { "hawsepipe-conformance-\(UInt64.random(in: 0...UInt64.max))" }

func freshAddress() -> TransportAddress { TransportAddress(place: .abstract(name: uniqueName())) }

extension ConformanceSubject.Mute {
  /// A unix listener that accepts nobody, and whose backlog has no place left.
  fileprivate static func withFullBacklog() async throws -> Self {
    let address = freshAddress()
    let listener = try UnixListener(bindingTo: address, options: .init(backlog: 0))
    var waiting: [Connection] = []
    let options = ConnectOptions(tryLimit: .milliseconds(50))
    while let next = try? await UnixConnector().connect(
      to: address, options: options, configure: { _ in })
    {
      waiting.append(next)
    }
    let connections = waiting
    return Self(address: address) {
      listener.close()
      for connection in connections { try? await connection.channel.close() }
    }
  }
}

/// A listening socket as a service manager would hand it over.
private func listeningSocket() throws -> CInt {
  struct Failed: Error { var errno = Glibc.errno }
  let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
  guard socket >= 0 else { throw Failed() }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let name = [0] + Array(uniqueName().utf8)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
  let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
  let bound = withUnsafePointer(to: address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) }
  }
  guard bound == 0, listen(socket, 128) == 0 else {
    defer { close(socket) }
    throw Failed()
  }
  return socket
}

extension TransportRegistry {
  static var unix: TransportRegistry {
    var registry = TransportRegistry([UnixConnector()])
    registry.register(UnixListenerFactory())
    return registry
  }

  static var memory: TransportRegistry {
    var registry = TransportRegistry([MemoryConnector()])
    registry.register(MemoryListenerFactory())
    return registry
  }
}
