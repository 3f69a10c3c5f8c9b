public import ContainerdAPI
public import RPCCore
internal import SwiftProtobuf

/// `grpc.health.v1.Health` of a controller: it serves until it begins to stop.
public struct HealthService: Sendable {
  private let control: SandboxControlService
  /// The services that can be asked for. The empty name is the server as a whole.
  private static let services = [
    "", "containerd.services.sandbox.v1.Controller", "containerd.services.events.v1.Events",
    "grpc.health.v1.Health",
  ]

  public init(_ control: SandboxControlService) { self.control = control }

  public func register(on registrar: inout some RPCRegistrar) {
    let service: some Grpc_Health_V1_HealthService = self
    service.register(on: &registrar, execution: .pool)
  }

  private var status: Grpc_Health_V1_HealthCheckResponse {
    .with { $0.status = control.isStopping ? .notServing : .serving }
  }
}

extension HealthService: Grpc_Health_V1_HealthService {
  public nonisolated(nonsending) func check(
    _ request: Grpc_Health_V1_HealthCheckRequest, context: RPCServerContext
  ) async throws -> Grpc_Health_V1_HealthCheckResponse {
    guard Self.services.contains(request.service) else {
      throw RPCError(
        code: .notFound, message: "no service \"\(request.service.prefix(200))\" is served here")
    }
    return status
  }

  public nonisolated(nonsending) func watch(
    _ request: Grpc_Health_V1_HealthCheckRequest,
    responses: RPCWriter<Grpc_Health_V1_HealthCheckResponse>, context: RPCServerContext
  ) async throws {
    guard Self.services.contains(request.service) else {
      try await responses.send(.with { $0.status = .serviceUnknown })
      try await control.untilStopping()
      return
    }
    if !control.isStopping {
      try await responses.send(status)
      try await control.untilStopping()
    }
    try await responses.send(status)
  }
}
