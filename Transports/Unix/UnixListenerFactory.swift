internal import LinuxSystem
public import TransportCore

/// Listens at unix sockets for a ``TransportRegistry``: with mode 0600, taking over what a server
/// that has ended left behind.
public struct UnixListenerFactory: ListenerFactory {
  public let transport = "unix"
  private let mode: UInt32

  /// - Parameter mode: of the socket's file. Who may write to it may connect, if the policy agrees.
  public init(mode: UInt32 = 0o600) { self.mode = mode }

  /// Binds and listens, as ``UnixListener/init(bindingTo:options:)``.
  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    let options = UnixListener.Options(
      mode: mode, backlog: options.backlog, group: options.group, logger: options.logger)
    let result: Result<UnixListener, TransportError> = await withCheckedContinuation { done in
      // Binding may wait for others who are at the same directory.
      let bind = { @Sendable in
        done.resume(
          returning: Result { () throws(TransportError) in
            try UnixListener(bindingTo: address, options: options)
          })
      }
      do {
        try startThread("hawse-bind", bind)
      } catch {
        done.resume(
          returning: .failure(
            TransportError(
              code: .listenFailed, message: "cannot listen at \(address): \(error)", cause: error)))
      }
    }
    return try result.get()
  }
}
