import TransportCore
import UnixTransport

struct TemporaryUnixListenerFactory: ListenerFactory {
  let transport = "unix"
  func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    try UnixListener(
      bindingTo: address, options: .init(backlog: options.backlog, group: options.group, logger: options.logger))
  }
}
