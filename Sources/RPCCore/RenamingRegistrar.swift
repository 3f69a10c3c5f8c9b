/// Registers methods as those of another service, for services that are the same but for their name.
package struct RenamingRegistrar<Base: RPCRegistrar>: RPCRegistrar {
  package var base: Base
  private let service: String

  package init(_ base: Base, service: String) {
    self.base = base
    self.service = service
  }

  package mutating func register(
    _ method: RPCMethod, execution: RPCExecution, unary handler: @escaping RPCUnaryHandler
  ) {
    base.register(
      RPCMethod(service: service, name: method.name), execution: execution, unary: handler)
  }

  package mutating func register(
    _ method: RPCMethod, kind: RPCStreamKind, execution: RPCExecution,
    stream handler: @escaping RPCStreamHandler
  ) {
    base.register(
      RPCMethod(service: service, name: method.name), kind: kind, execution: execution,
      stream: handler)
  }
}
