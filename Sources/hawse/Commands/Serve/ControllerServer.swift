#if GRPC
  import ContainerdAPI
  import FileDescriptorTransport
  import Foundation
  import Glibc
  import GRPCTransport
  import Logging
  import RPCCore
  import SandboxControl
  import ShimManagement
  import SwiftProtobuf
  import TTRPC
  import TransportCore

  /// `hawse serve` at work: until a signal, and then until the calls under way have ended.
  struct ControllerServer {
    var configuration: ServeConfiguration
    var registry: TransportRegistry
    var logger: Logger

    private var directory: StateDirectory {
      StateDirectory(state: configuration.state, root: configuration.root)
    }

    private var dialers: RPCDialers { RPCDialers([TTRPCDialer(), GRPCDialer()]) }

    func run() async throws {
      let (signals, arrivals) = AsyncStream<Int32>.makeStream()
      try Signals.shared.take { arrivals.yield($0) }
      let services = ServiceManager(environment: ProcessInfo.processInfo.environment)
      let directory = directory
      try directory.open()
      let hold = try directory.holdExclusively(as: "hawse serve")
      defer { hold.release() }

      var managers: [ShimManager] = []
      let control = SandboxControlService(
        state: directory.state, selection: try selection(&managers),
        limits: configuration.limits, logger: logger)
      let events = try startEvents(of: managers, into: control.events)
      let restoration = try await control.restore()
      logger.info(
        "took up what is on record",
        metadata: [
          "found": "\(restoration.found)", "ended": "\(restoration.ended)",
          "unfinished": "\(restoration.unfinished)",
          "unreachable": "\(restoration.unreachable)", "damaged": "\(restoration.damaged.count)",
        ])

      let listeners = try await listen()
      var server = GRPCListenerServer(configuration: .init(logger: logger))
      ControllerService(control, namespaces: configuration.namespaces).register(on: &server)
      EventsService(control.events).register(on: &server)
      HealthService(control).register(on: &server)
      let ending = RPCServerControl()
      for listener in listeners { Output.line("listening at \(listener.boundAddress)") }
      services.ready("serving \(restoration.found) sandboxes")
      let alive = Task { await services.keepAlive() }
      let stopping = Task {
        await stop(on: signals, control, ending, services)
      }
      defer {
        alive.cancel()
        stopping.cancel()
        arrivals.finish()
      }
      try await serve(server, on: listeners, ending)
      services.stopping()
      await control.close()
      for manager in managers { await manager.settle() }
      events.cancel()
      await events.value
    }

    private func serve(
      _ server: GRPCListenerServer, on listeners: [any Listener], _ ending: RPCServerControl
    ) async throws {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for listener in listeners {
          group.addTask { try await server.run(on: listener, control: ending) }
        }
        do {
          try await group.waitForAll()
        } catch {
          ending.close()
          throw error
        }
      }
    }

    /// The first signal stops in order, the second at once.
    private func stop(
      on signals: AsyncStream<Int32>, _ control: SandboxControlService,
      _ ending: RPCServerControl, _ services: ServiceManager
    ) async {
      var isStopping = false
      for await signal in signals where [SIGTERM, SIGINT, SIGQUIT].contains(signal) {
        if isStopping {
          ending.close()
          continue
        }
        isStopping = true
        logger.info("stopping; sandboxes go on", metadata: ["signal": "\(signal)"])
        services.stopping()
        // Waits for sandboxes' ends could take for ever: their callers come back.
        control.beginStopping()
        let grace = configuration.grace
        Task { await ending.shutDown(within: grace) }
      }
    }

    // MARK: Parts

    private func listen() async throws -> [any Listener] {
      let options = ListenOptions(logger: logger)
      let inherited = try inheritedDescriptors()
      guard inherited.isEmpty else {
        var listeners: [any Listener] = []
        for descriptor in inherited {
          listeners.append(try await registry.listen(at: descriptor.address, options: options))
        }
        return listeners
      }
      let address = try registry.parse(configuration.servedAddress)
      return [try await registry.listen(at: address, options: options)]
    }

    private func selection(_ managers: inout [ShimManager]) throws -> DriverSelection {
      var drivers: [any SandboxDriver] = []
      for (name, driver) in configuration.drivers.sorted(by: { $0.key < $1.key }) {
        switch driver {
        case .shim(let shim):
          let manager = try ShimManager(managed(shim))
          managers.append(manager)
          drivers.append(ShimDriver(name: name, manager: manager, binary: shim.binary))
        case .remote(let remote):
          drivers.append(
            RemoteDriver(
              name: name, remote, registry: registry, dialers: dialers,
              limits: configuration.limits, logger: logger))
        }
      }
      return DriverSelection(
        drivers, runtimes: configuration.runtimes, fallback: configuration.defaultDriver)
    }

    private func managed(_ shim: ServeConfiguration.Shim) throws -> ShimManager.Configuration {
      var limits = ShimManager.Limits()
      limits.connect = configuration.limits.load
      limits.query = configuration.limits.state
      limits.change = max(configuration.limits.create, configuration.limits.start)
      limits.cleanup = configuration.limits.cleanup
      limits.shutdown = configuration.limits.shutdown
      return ShimManager.Configuration(
        directory: directory, registry: registry, dialers: dialers,
        eventsAddress: configuration.eventsSocket,
        environment: ProcessInfo.processInfo.environment,
        publishBinary: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"),
        debug: shim.debug, limits: limits, logger: logger)
    }

    /// Tells of what shims tell, where they have nobody else to send it to, and of what is told in the
    /// place of those that died. A sandbox's own end is the controller's to tell.
    private func startEvents(
      of managers: [ShimManager], into events: EventExchange
    ) throws -> Task<Void, Never> {
      var receiver: EventsReceiver?
      if configuration.eventsSocket == nil {
        let own = EventsReceiver(directory: directory, logger: logger)
        try own.prepare()
        receiver = own
      }
      let streams = managers.map { $0.events() }
      return Task { [receiver] in
        await withTaskGroup { group in
          if let receiver {
            group.addTask {
              await receiver.run { event in
                // What is no event goes back to the shim.
                do throws(SandboxControlError) { try events.accept(event.envelope) } catch {
                  throw error.rpcError
                }
              }
            }
          }
          for stream in streams {
            group.addTask {
              for await event in stream where event.topic != EventTopic.sandboxExit {
                events.publish(event.envelope)
              }
            }
          }
        }
      }
    }
  }

  extension ShimEvent {
    fileprivate var envelope: Containerd_Types_Envelope {
      .with {
        $0.namespace = namespace
        $0.topic = topic
        $0.timestamp = timestamp
        $0.event = event
      }
    }
  }
#endif
