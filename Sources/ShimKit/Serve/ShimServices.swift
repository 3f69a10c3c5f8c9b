public import ContainerdAPI
package import Logging
public import RPCCore
package import TTRPC

/// What a shim serves: methods by name. What nobody registered is answered Unimplemented, which
/// daemons rely on to find out what a shim has.
public struct ShimServices: RPCRegistrar, Sendable {
  package var server: TTRPCServer

  /// - Parameter logger: where clients that do not speak ttrpc are logged.
  package init(logger: Logger? = nil) {
    // containerd opens a connection for each task, and who shares one has a wait on its way for each: with
    // the defaults a sandbox of 1,024 tasks would be mute, or refuse the next one's connection. What
    // requests hold is bounded in bytes as ever.
    server = TTRPCServer(
      configuration: .init(
        maximumInFlight: 16_384, maximumConnections: 16_384, logger: logger))
  }

  public mutating func register(
    _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler
  ) {
    server.register(method, execution: execution, unary: handler)
  }

  public mutating func register(
    _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
    stream handler: @escaping RPCStreamHandler
  ) {
    server.register(method, kind: kind, execution: execution, stream: handler)
  }

  /// Serves a task service under both its versions, whose messages are the same but for the name of
  /// their package.
  public mutating func registerTask(_ service: some Containerd_Task_V3_TaskService) {
    service.register(on: &self)
    registerTaskVersion2(service)
  }

  /// Serves a task service under the older version alone. The configuration's `taskVersions` say so,
  /// too, then.
  public mutating func registerTaskVersion2(_ service: some Containerd_Task_V3_TaskService) {
    var second = RenamingRegistrar(self, service: Containerd_Task_V2_TaskMethods.serviceName)
    service.register(on: &second)
    self = second.base
  }
}
