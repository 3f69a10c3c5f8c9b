import CLinux
import Glibc
import LinuxSystem
import NIOCore
import Testing
import TransportCore
import VsockTransport

/// The data path runs in a guest (Tests/Interop): a machine need not have a vsock that reaches
/// anything, and a container may not even have the address family. What is pinned here holds
/// anywhere.
enum ThisMachine {
  static let hasVsock: Bool = {
    let made = clinux_vsock_socket()
    if made >= 0 { close(made) }
    return made >= 0
  }()
}

func vsock(_ cid: UInt32?, _ port: UInt32, sibling: String? = nil) -> TransportAddress {
  TransportAddress(
    place: .vsock(cid: cid, port: port),
    parameters: sibling.map { [.init("sibling", $0)] } ?? [])
}

/// The error of a connect that must fail.
func failure(
  _ address: TransportAddress, _ options: ConnectOptions, _ connector: VsockConnector = .init()
) async -> TransportError? {
  await #expect(throws: TransportError.self) {
    _ = try await connector.connect(to: address, options: options) { _ in }
  }
}

extension ConnectOptions {
  /// Limits that only a hang reaches, however busy the machine is.
  static let patient = ConnectOptions(timeout: .seconds(600), tryLimit: .seconds(600))
}

/// A port that nothing else here uses.
func freePort() -> UInt32 { .random(in: 1 << 20..<1 << 30) }

func openDescriptors() throws -> Int {
  try OwnedDescriptor(opening: "/proc/self/fd", O_RDONLY | O_DIRECTORY).names().count
}
