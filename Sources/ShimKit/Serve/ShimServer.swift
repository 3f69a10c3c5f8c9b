internal import FileDescriptorTransport
internal import Glibc
internal import LinuxSystem
internal import Logging
internal import RPCCore
internal import ShimProtocol
internal import TTRPC
internal import TransportCore
internal import UnixTransport
internal import VsockTransport

/// The serving process: from the socket that `start` bound to the last callback of its shutdown.
struct ShimServer<Author: Shim>: Sendable {
  var shim: Author
  var configuration: ShimConfiguration
  var invocation: ShimInvocation
  var bundle: String
  var logger: Logger
  let shutdown: ShimShutdown
  let descriptions: StateDescriptions

  /// Serves until the shutdown is over.
  ///
  /// - Throws: what kept it from serving. The socket is removed then, too.
  func run() async throws {
    let (listener, socket) = try adopt()
    defer { socket?.remove() }
    let context = ShimContext(
      namespace: invocation.namespace, id: invocation.id, bundle: bundle, debug: invocation.debug,
      address: listener.boundAddress, daemonAddress: invocation.daemonAddress,
      eventsAddress: invocation.eventsAddress, environment: invocation.environment, logger: logger,
      shutdown: shutdown, descriptions: descriptions)
    try await configuration.hooks.beforeServing(context)
    var services = ShimServices(logger: logger)
    try await shim.register(on: &services, context: context)
    let others = try await listenElsewhere()
    logger.debug("The shim serves", metadata: ["address": "\(listener.boundAddress)"])
    try await serve(services.server, listener, others, socket)
  }

  /// The socket that `start` has bound; or one of our own where `-socket` says so.
  private func adopt() throws -> (UnixListener, OwnSocket?) {
    let options = UnixListener.Options(logger: logger)
    guard invocation.socket.isEmpty else {
      let path =
        invocation.socket.hasPrefix("unix://")
        ? String(invocation.socket.dropFirst("unix://".count)) : invocation.socket
      // It removes the socket itself.
      return (
        try UnixListener(
          bindingTo: TransportAddress(place: .unix(path: path)), options: options), nil
      )
    }
    do {
      let listener = try UnixListener(
        adopting: ShimStarter<Author>.listenerDescriptor, options: options)
      guard case .unix(let path) = listener.boundAddress.place else { return (listener, nil) }
      return (listener, OwnSocket(place: try SocketPlace(path: path), bundle: bundle))
    } catch {
      throw ShimKitError(
        code: .invalidArguments,
        message: "the shim was not run by its own start: descriptor 3 is no socket to serve at",
        hint: "Run it with start, as containerd does, or with -socket and a path.", cause: error)
    }
  }

  private func listenElsewhere() async throws -> [any Listener] {
    guard !configuration.listeners.isEmpty else { return [] }
    var registry = TransportRegistry()
    registry.register(UnixListenerFactory())
    registry.register(VsockListenerFactory())
    registry.register(FileDescriptorListenerFactory())
    var listeners: [any Listener] = []
    for address in configuration.listeners {
      do {
        listeners.append(
          try await registry.listen(at: address, options: ListenOptions(logger: logger)))
      } catch {
        for listener in listeners { listener.close() }
        throw error
      }
    }
    return listeners
  }

  private func serve(
    _ server: TTRPCServer, _ listener: UnixListener, _ others: [any Listener], _ socket: OwnSocket?
  ) async throws {
    let control = RPCServerControl()
    let policy = configuration.peerPolicy
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.run(on: listener, policy: policy, control: control) }
      for other in others {
        group.addTask { try await Self.run(server, other, control) }
      }
      group.addTask {
        let reason = await shutdown.begun()
        logger.info("The shim shuts down", metadata: ["reason": "\(reason)"])
        // First, so that nobody joins a shim that ends.
        socket?.remove()
        for failure in await shutdown.wait() {
          logger.error("The shutdown went wrong", metadata: ["what": "\(failure)"])
        }
        await control.shutDown(within: configuration.drainLimit)
      }
      do {
        try await group.waitForAll()
      } catch {
        // A listener that failed: the callbacks have their turn all the same.
        shutdown.begin("\(error)")
        throw error
      }
    }
  }

  private static func run(
    _ server: TTRPCServer, _ listener: some Listener, _ control: RPCServerControl
  ) async throws {
    try await server.run(on: listener, control: control)
  }
}

/// The socket that this process serves at: removed as long as nobody has put another in its place.
struct OwnSocket: Sendable {
  private let place: SocketPlace
  private let bundle: String
  private let identity: (dev_t, ino_t)?

  init(place: SocketPlace, bundle: String) {
    self.place = place
    self.bundle = bundle
    identity = Self.identity(of: place.path)
  }

  /// Does nothing when called again.
  func remove() {
    AddressFile(bundle: bundle).remove(naming: place)
    // A `start` that has the lock asks this very process, and takes the socket over when it is gone:
    // then it is not ours any more. It is not waited for long.
    do {
      try GroupLock.holding(place.path, within: .milliseconds(500)) { removeIfOwn() }
    } catch {
      removeIfOwn()
    }
  }

  private func removeIfOwn() {
    guard let identity, let now = Self.identity(of: place.path), now == identity else { return }
    place.remove()
    SocketRecord(bundle: bundle).remove()
  }

  private static func identity(of path: String) -> (dev_t, ino_t)? {
    var status = stat()
    return lstat(path, &status) == 0 ? (status.st_dev, status.st_ino) : nil
  }
}
