internal import CLinux
internal import LinuxSystem
internal import Logging
internal import NIOCore
public import TransportCore

#if canImport(Glibc)
  internal import Glibc
#endif

/// Listens on TCP: at a literal, or at a name's address, IPv4 before IPv6. The port 0 takes a free
/// one. `[::]` takes IPv4 as well, whatever the system's default is; any other IPv6 address does not.
///
/// TCP proves nothing of who connects, so by default anyone may; but without a layer that does
/// (TLS), only loopback addresses are bound, unless ``ListenOptions/plaintext`` or the address says
/// otherwise (`plaintext=yes`). **On loopback every local user may connect**, whatever their rights:
/// where that matters, listen on a unix socket.
public struct TCPListenerFactory: ListenerFactory {
  public let transport = "tcp"
  public let parameters: Set<String> = [PlaintextRule.parameter]

  public var settings: TCPSettings
  private let resolver: NameResolver

  public init(settings: TCPSettings = TCPSettings()) {
    self.init(settings: settings, resolver: .system)
  }

  package init(settings: TCPSettings = TCPSettings(), resolver: NameResolver) {
    self.settings = settings
    self.resolver = resolver
  }

  public func listen(
    at address: TransportAddress, options: ListenOptions
  ) async throws(TransportError) -> any Listener {
    let binding = TCPBinding(address: address, settings: settings, options: options)
    let endpoint = try await binding.endpoint(resolver)
    let warns = try binding.checkPlaintext(endpoint.address)
    let (descriptor, bound) = try binding.listen(endpoint)
    return binding.listener(descriptor, bound, warns: warns)
  }

  /// Takes over a socket that another process bound and listens on, such as one that was inherited.
  ///
  /// The descriptor is the listener's from here on, also when this throws.
  ///
  /// - Throws: ``TransportError`` with ``TransportError/Code-swift.enum/listenFailed`` when it is no
  ///   listening TCP socket, or bound where plaintext may not be listened for.
  public func listen(
    adopting descriptor: CInt, options: ListenOptions = ListenOptions()
  ) throws(TransportError) -> any Listener {
    let endpoint = InternetEndpoint(localOf: descriptor)
    var result = endpoint == nil ? -errno : clinux_check_listening(descriptor)
    if result == 0 { result = -settings.apply(to: descriptor) }
    if result == 0 { result = clinux_set_nonblocking(descriptor) }
    do throws(TransportError) {
      guard result == 0, let endpoint else {
        throw TransportError(
          code: .listenFailed,
          message: "descriptor \(descriptor) is not a listening TCP socket: "
            + "\(errnoText(-result)) (\(errnoName(-result)))")
      }
      let address = TransportAddress(endpoint)
      let binding = TCPBinding(address: address, settings: settings, options: options)
      let warns = try binding.checkPlaintext(endpoint.address)
      return binding.listener(descriptor, address, warns: warns)
    } catch {
      close(descriptor)
      throw error
    }
  }
}

extension TransportAddress {
  init(_ endpoint: InternetEndpoint) {
    self.init(place: .tcp(host: endpoint.address.description, port: endpoint.port))
  }
}
