internal import ShimProtocol

/// A sandbox's name: an id in a namespace. Both are names of files, and were checked to be fit for it.
public struct SandboxName: Hashable, Sendable, CustomStringConvertible {
  public let namespace: String
  public let id: String

  /// - Throws: `invalidRequest`.
  public init(namespace: String, id: String) throws(SandboxControlError) {
    do throws(ShimProtocolError) {
      try Identifier.validate(namespace, as: .namespace)
      try Identifier.validate(id, as: .sandboxID)
    } catch {
      throw SandboxControlError(code: .invalidRequest, message: error.description)
    }
    self.namespace = namespace
    self.id = id
  }

  public var description: String { "\(namespace)/\(id)" }
}

extension SandboxName: Comparable {
  public static func < (one: SandboxName, other: SandboxName) -> Bool {
    (one.namespace, one.id) < (other.namespace, other.id)
  }
}
