#if GRPC
  public import GRPCCore
  public import GRPCNIOTransportHTTP2Posix
  internal import RPCCore
  internal import Synchronization
  public import TransportCore

  /// grpc-swift's transport over any connector, for clients that grpc-swift's generator has made:
  ///
  /// ```swift
  /// let transport = ConnectorClientTransport(to: address, using: connectors)
  /// try await withGRPCClient(transport: transport) { client in … }
  /// ```
  ///
  /// It connects when it is run or first needed, and anew when a call comes and the connection was
  /// lost. Calls wait until there is a connection, unless their option `waitForReady` is false: then
  /// a dial that fails fails them. Retries and hedging are grpc-swift's, above this.
  public final class ConnectorClientTransport: ClientTransport {
    public typealias Bytes = GRPCNIOTransportBytes

    public struct Configuration: Sendable {
      /// For each connection.
      public var options: GRPCClientOptions
      public var redialing: GRPCRedialing
      /// How methods are to be handled; load balancing does not apply.
      public var serviceConfig: ServiceConfig

      public init(
        options: GRPCClientOptions = .init(), redialing: GRPCRedialing = .init(),
        serviceConfig: ServiceConfig = ServiceConfig()
      ) {
        self.options = options
        self.redialing = redialing
        self.serviceConfig = serviceConfig
      }
    }

    public let retryThrottle: RetryThrottle?
    private let configuration: Configuration
    private let source: LinkSource
    /// The connection whose calls are being waited for.
    private let leaving = Mutex<GRPCLink?>(nil)
    /// Ends when the transport has been shut down.
    private let shutdown: AsyncStream<Void>
    private let shutdownDone: AsyncStream<Void>.Continuation

    /// - Parameter options: for each dial.
    public init(
      to address: TransportAddress, using connectors: TransportRegistry,
      options: ConnectOptions = ConnectOptions(), configuration: Configuration = Configuration()
    ) {
      self.configuration = configuration
      retryThrottle = configuration.serviceConfig.retryThrottling.map(RetryThrottle.init(policy:))
      source = LinkSource(
        address, connectors, options, configuration.options, configuration.redialing)
      (shutdown, shutdownDone) = AsyncStream.makeStream()
    }

    deinit { source.shut()?.close() }

    /// Whether there is a connection now that takes calls.
    public var isConnected: Bool { source.current?.isUsable ?? false }

    /// How many calls wait for a connection now.
    public var waitingCalls: Int { source.waiting }

    /// Runs until ``beginGracefulShutdown()`` has ended everything or the task is cancelled.
    public func connect() async throws {
      do throws(RPCCore.RPCError) {
        _ = try await source.link(isPatient: false)
      } catch {
        // The calls that come will dial again, and have their own errors.
      }
      for await _ in shutdown {}
      await leaving.withLock { $0 }?.waitUntilEnded()
      guard Task.isCancelled else { return }
      source.shut()?.close()
      leaving.withLock { $0 }?.close()
    }

    /// Takes no more calls, and closes the connection behind the last of those under way.
    public func beginGracefulShutdown() {
      if let link = source.shut() {
        leaving.withLock { $0 = link }
        link.transport.beginGracefulShutdown()
      }
      shutdownDone.finish()
    }

    /// - Throws: `GRPCCore.RPCError` with the code `.unavailable` when there is no connection,
    ///   `.resourceExhausted` when too many wait for one.
    public func withStream<T: Sendable>(
      descriptor: MethodDescriptor, options: CallOptions,
      _ closure: (
        _ stream: GRPCCore.RPCStream<Inbound, Outbound>, _ context: ClientContext
      ) async throws -> T
    ) async throws -> T {
      var options = options
      // The library's limit for what is sent is the one that it applies to what comes.
      options.maxRequestMessageBytes =
        options.maxRequestMessageBytes ?? configuration.options.maximumMessageBytes
      let methodConfig = config(forMethod: descriptor)
      let isPatient = options.waitForReady ?? methodConfig?.waitForReady ?? true
      var triesLeft = 3
      while true {
        let link: GRPCLink
        do throws(RPCCore.RPCError) {
          link = try await source.link(isPatient: isPatient)
        } catch {
          if error.reason == .cancelled { throw CancellationError() }
          throw GRPCError(
            code: error.code == .resourceExhausted ? .resourceExhausted : .unavailable,
            message: error.description, cause: error)
        }
        link.callBegins()
        defer { link.callEnds() }
        var hasBegun = false
        do {
          return try await link.transport.withStream(descriptor: descriptor, options: options) {
            hasBegun = true
            return try await closure($0, $1)
          }
        } catch {
          // Nothing of a call that has not begun was sent: the connection went in between.
          triesLeft -= 1
          if hasBegun || Task.isCancelled || link.isUsable || triesLeft == 0 { throw error }
        }
      }
    }

    public func config(forMethod descriptor: MethodDescriptor) -> MethodConfig? {
      let configs = configuration.serviceConfig.methodConfig
      let service = descriptor.service.fullyQualifiedService
      // The most exact name counts: method, service, everything (gRPC's service config).
      for (wantedService, wantedMethod) in [
        (service, descriptor.method), (service, ""), ("", ""),
      ] {
        let found = configs.first { config in
          config.names.contains { $0.service == wantedService && $0.method == wantedMethod }
        }
        if let found { return found }
      }
      return nil
    }
  }
#endif
