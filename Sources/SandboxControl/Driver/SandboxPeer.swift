internal import ContainerdAPI
internal import ContainerdClient
internal import Logging
internal import NIOCore
internal import RPCCore
internal import SwiftProtobuf
internal import TransportCore

/// A peer that serves the Sandbox API, over a connection of either protocol.
struct SandboxPeer: Sendable {
  let name: SandboxName
  /// As messages name it: a shim, an endpoint.
  let subject: String
  let line: RPCLine
  let limits: ControlLimits

  private var client: SandboxClient<RPCLine> {
    SandboxClient(caller: line, namespace: name.namespace)
  }

  /// - Parameter limit: for the answer.
  private func call<Value: Sendable>(
    _ what: String, within limit: Duration?,
    _ body: (SandboxClient<RPCLine>, Duration?) async throws(RPCError) -> Value
  ) async throws(SandboxControlError) -> Value {
    do throws(RPCError) {
      return try await body(client, limit)
    } catch {
      throw failure("cannot \(what) sandbox \(name) by \(subject)", error)
    }
  }

  private func failure(_ message: String, _ error: RPCError) -> SandboxControlError {
    let code: SandboxControlError.Code =
      switch (error.reason, error.code) {
      case (.connectionClosed, _): .unreachable
      case (.deadline, _): .timedOut
      case (.cancelled, _): .cancelled
      case (.status, .unimplemented): .unsupported
      case (.status, .notFound): .sandboxNotFound
      default: .callFailed
      }
    return SandboxControlError(code: code, message: message, cause: error)
  }

  func create(_ order: SandboxOrder, bundle: String) async throws(SandboxControlError) {
    let request = order.request
    let creation = SandboxCreation(
      id: name.id, bundle: bundle,
      rootfs: request.rootfs.map {
        RootMount(type: $0.type, source: $0.source, target: $0.target, options: $0.options)
      },
      options: request.hasOptions ? request.options : nil,
      netnsPath: request.netnsPath.isEmpty ? nil : request.netnsPath,
      annotations: request.annotations)
    try await call("create", within: limits.create) { client, limit throws(RPCError) in
      try await client.create(creation, timeout: limit)
    }
  }

  func start() async throws(SandboxControlError) -> SandboxStart {
    try await call("start", within: limits.start) { client, limit throws(RPCError) in
      try await client.start(name.id, timeout: limit)
    }
  }

  func stop(within grace: Duration) async throws(SandboxControlError) {
    try await call("stop", within: grace + limits.cleanup) { client, limit throws(RPCError) in
      try await client.stop(name.id, grace: grace, timeout: limit)
    }
  }

  func wait() async throws(SandboxControlError) -> SandboxExit {
    try await call("wait for", within: nil) { client, _ throws(RPCError) in
      try await client.wait(name.id)
    }
  }

  func status(verbose: Bool) async throws(SandboxControlError) -> SandboxStatus {
    try await call("ask", within: limits.state) { client, limit throws(RPCError) in
      try await client.status(name.id, verbose: verbose, timeout: limit)
    }
  }

  func platform() async throws(SandboxControlError) -> SandboxPlatform {
    try await call("ask for the platform of", within: limits.state) {
      client, limit throws(RPCError) in try await client.platform(name.id, timeout: limit)
    }
  }

  func metrics() async throws(SandboxControlError) -> SandboxMetrics {
    try await call("ask for the metrics of", within: limits.metrics) {
      client, limit throws(RPCError) in try await client.metrics(name.id, timeout: limit)
    }
  }

  func ping() async throws(SandboxControlError) {
    try await call("ping", within: limits.state) { client, limit throws(RPCError) in
      try await client.ping(name.id, timeout: limit)
    }
  }

  func update(_ record: SandboxRecord, fields: [String]) async throws(SandboxControlError) {
    try await call("update", within: limits.state) { client, limit throws(RPCError) in
      try await client.update(record, fields: fields, timeout: limit)
    }
  }

  func shutdown() async throws(SandboxControlError) {
    try await call("shut down", within: limits.shutdown) { client, limit throws(RPCError) in
      try await client.shutdown(name.id, timeout: limit)
    }
  }

  /// Whether anybody answers there: a method is called that no server has.
  func pingProtocol() async throws(SandboxControlError) {
    do throws(RPCError) {
      _ = try await line.call(
        Self.nothing, payload: ByteBuffer(), options: RPCCallOptions(timeout: limits.state))
    } catch {
      guard error.reason != .status else { return }
      throw failure("nobody answers sandbox \(name) by \(subject)", error)
    }
  }

  private static let nothing = RPCMethod(service: "hawsepipe.Ping", name: "Ping")
}
