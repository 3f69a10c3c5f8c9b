internal import ContainerdAPI
internal import Glibc
public import Logging
internal import NIOCore
internal import RPCCore
internal import SwiftProtobuf
internal import TTRPC
internal import TransportCore
internal import UnixTransport

/// Takes the events that shims send, for as long as one process of a state directory runs.
///
/// A shim must never be kept waiting for its events' sake, and Go's shims wait up to five seconds
/// for a socket file that does not exist, but not at all for one that refuses. So the file is always
/// there: of the processes that share the state directory one listens, the others stand by to take
/// over, and when the last is gone the file stays and refuses.
public struct EventsReceiver: Sendable {
  private let directory: StateDirectory
  private let logger: Logger
  private let takeover = Duration.milliseconds(250)

  public init(directory: StateDirectory, logger: Logger = Logger(label: "hawsepipe.events")) {
    self.directory = directory
    self.logger = logger
  }

  /// Makes sure that the events address exists, and refuses until somebody listens.
  public func prepare() throws(ShimManagementError) {
    if try isThere() { return }
    do {
      // Bound and closed again: from then on the file refuses.
      try listener(replacing: false).close()
    } catch {
      // Another process may have been faster.
      if try isThere() { return }
      throw ShimManagementError(
        code: .stateDirectory, message: "cannot make the events socket \(directory.eventsSocket)",
        cause: error)
    }
  }

  private func isThere() throws(ShimManagementError) -> Bool {
    var status = stat()
    guard lstat(directory.eventsSocket, &status) == 0 else { return false }
    guard status.st_mode & S_IFMT == S_IFSOCK else {
      throw ShimManagementError(
        code: .stateDirectory, message: "\(directory.eventsSocket) is not a socket",
        hint: "It is where shims send their events; move it away.")
    }
    return true
  }

  /// Listens, or stands by for the process that does, until the task is cancelled.
  ///
  /// - Parameter receive: gets each event. What it throws goes back to the shim, which tries again.
  public func run(_ receive: @escaping @Sendable (ShimEvent) async throws -> Void) async {
    while !Task.isCancelled {
      do {
        if let lock = try FileLock.tryAcquire(directory.eventsLock) {
          defer { lock.release() }
          try await listen(receive)
        }
      } catch is CancellationError {
        return
      } catch {
        logger.warning("cannot take shims' events", metadata: ["error": "\(error)"])
      }
      // Cancelled while it waits: the loop's condition ends it.
      try? await Task.sleep(for: takeover)
    }
  }

  private func listen(
    _ receive: @escaping @Sendable (ShimEvent) async throws -> Void
  ) async throws {
    var server = TTRPCServer(configuration: .init(logger: logger))
    Forwarding(receive: receive).register(on: &server)
    let listener = try listener(replacing: true)
    defer { listener.close() }
    try await server.run(on: listener)
  }

  private func listener(replacing: Bool) throws(TransportError) -> UnixListener {
    try UnixListener(
      bindingTo: TransportAddress(place: .unix(path: directory.eventsSocket)),
      options: .init(replacing: replacing, leavesFile: true, logger: logger))
  }
}

/// The events service: hands on what it gets.
private struct Forwarding: Containerd_Services_Events_Ttrpc_V1_EventsService {
  let receive: @Sendable (ShimEvent) async throws -> Void

  nonisolated(nonsending) func forward(
    _ request: Containerd_Services_Events_Ttrpc_V1_ForwardRequest, context: RPCServerContext
  ) async throws -> Google_Protobuf_Empty {
    let envelope = request.envelope
    try await receive(
      ShimEvent(
        namespace: envelope.namespace, topic: envelope.topic, timestamp: envelope.timestamp,
        event: envelope.event))
    return Google_Protobuf_Empty()
  }
}
