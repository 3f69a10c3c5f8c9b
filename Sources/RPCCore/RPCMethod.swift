/// A method of a service, by the names that travel on the wire.
///
/// Make one once and keep it: what a protocol writes for it in front of every request is encoded
/// here, not in each call.
public struct RPCMethod: Sendable {
  /// The service's full protobuf name, such as `containerd.task.v2.Task`.
  public let service: String
  /// The method's name as the .proto file writes it.
  public let name: String
  /// Fields 1 and 2 of ttrpc's `Request` envelope, encoded.
  public let envelopePrefix: [UInt8]

  public init(service: String, name: String) {
    self.service = service
    self.name = name
    self.envelopePrefix =
      Self.stringField(tag: 0x0a, service) + Self.stringField(tag: 0x12, name)
  }

  /// `service/name`, as gRPC's path has it behind its leading slash.
  public var path: String { "\(service)/\(name)" }

  private static func stringField(tag: UInt8, _ text: String) -> [UInt8] {
    // Proto3 leaves out a field with its default value.
    guard !text.isEmpty else { return [] }
    var bytes = [tag]
    var length = text.utf8.count
    while length >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: length) | 0x80)
      length >>= 7
    }
    bytes.append(UInt8(length))
    bytes.append(contentsOf: text.utf8)
    return bytes
  }
}

extension RPCMethod: Hashable {
  public static func == (one: RPCMethod, other: RPCMethod) -> Bool {
    one.name == other.name && one.service == other.service
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(service)
    hasher.combine(name)
  }
}

extension RPCMethod: CustomStringConvertible {
  public var description: String { path }
}
