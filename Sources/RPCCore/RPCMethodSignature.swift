public import SwiftProtobuf

/// A method with the kinds of its messages: what a program needs to call it that was not written
/// for it, such as a command line.
public struct RPCMethodSignature: Sendable {
  public let method: RPCMethod
  /// `nil`: unary.
  public let kind: RPCStreamKind?
  public let request: any Message.Type
  public let response: any Message.Type

  public init(
    _ method: RPCMethod, kind: RPCStreamKind? = nil, request: any Message.Type,
    response: any Message.Type
  ) {
    self.method = method
    self.kind = kind
    self.request = request
    self.response = response
  }
}
