internal import FoundationEssentials

/// The JSON of shims between containerd 1.7 and 2.2, and of `bootstrap.json` (containerd `pkg/shim`
/// and `core/runtime/v2`).
extension BootstrapParams {
  /// The text of `bootstrap.json`, as containerd writes it: zero values are left out.
  public var json: [UInt8] {
    var members: [String] = []
    if version != 0 { members.append("\"version\":\(version)") }
    if !address.isEmpty { members.append("\"address\":\(Self.literal(address))") }
    if !protocolName.isEmpty { members.append("\"protocol\":\(Self.literal(protocolName))") }
    if !capabilities.isEmpty {
      members.append("\"capabilities\":[\(capabilities.map(String.init).joined(separator: ","))]")
    }
    if !metadata.isEmpty {
      let entries = metadata.sorted { $0.key < $1.key }
        .map { "\(Self.literal($0.key)):\(Self.literal($0.value))" }
      members.append("\"metadata\":{\(entries.joined(separator: ","))}")
    }
    return Array("{\(members.joined(separator: ","))}".utf8)
  }

  /// Reads one JSON object. Names match without regard to case, unknown ones are ignored, null is
  /// the same as absent: what Go's decoder does. The values are not checked further than their type.
  ///
  /// - Throws: `.damagedReply` for what is no such object.
  public init(json: [UInt8]) throws(ShimProtocolError) {
    let object: Object
    do {
      object = try JSONDecoder().decode(Object.self, from: Data(json))
    } catch let error as DecodingError {
      throw ShimProtocolError(
        code: .damagedReply,
        message: "the JSON object is damaged (\(Self.fault(error))): \(quoted(json))")
    } catch {
      throw ShimProtocolError(
        code: .damagedReply, message: "the JSON object is damaged: \(quoted(json))", cause: error)
    }
    self = object.params
  }

  private struct Object: Decodable {
    var params = BootstrapParams(version: 0, address: "", protocolName: "")

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: AnyKey.self)
      var seen: Set<String> = []
      for key in container.allKeys {
        let name = BootstrapParams.canonicalProtocol(key.stringValue)
        guard ["version", "address", "protocol", "capabilities", "metadata"].contains(name) else {
          continue
        }
        guard seen.insert(name).inserted else {
          throw DecodingError.dataCorrupted(
            .init(codingPath: [], debugDescription: "\(name) is there twice"))
        }
        guard try !container.decodeNil(forKey: key) else { continue }
        switch name {
        case "version": params.version = try container.decode(Int.self, forKey: key)
        case "address": params.address = try container.decode(String.self, forKey: key)
        case "protocol":
          params.protocolName = BootstrapParams.canonicalProtocol(
            try container.decode(String.self, forKey: key))
        case "capabilities":
          params.capabilities = try container.decode([Int32].self, forKey: key)
        default: params.metadata = try container.decode([String: String].self, forKey: key)
        }
      }
    }
  }

  private struct AnyKey: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }

    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private static func fault(_ error: DecodingError) -> String {
    func member(_ context: DecodingError.Context) -> String {
      context.codingPath.first.map { quoted($0.stringValue, limit: 40) } ?? "the text"
    }
    switch error {
    case .typeMismatch(_, let context): return "\(member(context)) is of another type"
    case .valueNotFound(_, let context): return "\(member(context)) has no value"
    case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
    case .dataCorrupted(let context):
      return context.codingPath.isEmpty
        ? context.debugDescription : "\(member(context)) cannot be read"
    @unknown default: return "it cannot be decoded"
    }
  }

  private static func literal(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case _ where scalar.value < 0x20 || scalar.value == 0x7f:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
