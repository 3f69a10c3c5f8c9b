import Foundation
import RPCCore
import JSON
import SwiftProtobuf

/// Messages as JSON, by protobuf's mapping, with one extension: what an Any holds.
///
/// `{"@type": URL, …}` with the message's fields is protobuf's own form; the URL is kept as it is
/// written, with or without a prefix. JSON under one of containerd's URLs, such as an OCI process,
/// is `{"@type": URL, "value": JSON}`. What is not known here is
/// `{"@type": URL, "@bytes": BASE64}`.
enum MessageJSON {
  struct Fault: Error, CustomStringConvertible {
    let description: String
  }

  // SwiftProtobuf sees every Any as a BytesValue under a URL that only we have: it holds the encoded
  // Any that is meant.
  private static let carrier = "hawse/google.protobuf.BytesValue"

  // MARK: - Reading

  static func message(_ json: JSONValue, as type: any Message.Type) throws(Fault) -> any Message {
    let carried = try carrying(json)
    var message: any Message
    do {
      message = try type.init(jsonUTF8Bytes: carried.printed())
    } catch {
      throw Fault(description: "this is not a \(type.protoMessageName): \(text(of: error))")
    }
    do {
      try unpack(&message)
    } catch {
      throw Fault(description: "an Any in a \(type.protoMessageName) cannot be made: \(error)")
    }
    return message
  }

  /// The same document with each Any put into a carrier.
  private static func carrying(_ json: JSONValue) throws(Fault) -> JSONValue {
    switch json {
    case .array(let elements):
      var carried: [JSONValue] = []
      for element in elements { carried.append(try carrying(element)) }
      return .array(carried)
    case .object(var members):
      if let url = members["@type"] {
        guard let url = url.string else {
          throw Fault(description: "\"@type\" is \(url.kind), not a type URL")
        }
        members["@type"] = nil
        let bytes = try encoded(try any(url, members))
        return ["@type": .string(carrier), "value": .string(Data(bytes).base64EncodedString())]
      }
      for (name, value) in members { members[name] = try carrying(value) }
      return .object(members)
    default: return json
    }
  }

  private static func any(
    _ url: String, _ members: [String: JSONValue]
  ) throws(Fault) -> Google_Protobuf_Any {
    var any = Google_Protobuf_Any()
    any.typeURL = url
    if let bytes = members["@bytes"], members.count == 1 {
      guard let data = bytes.string.flatMap({ Data(base64Encoded: $0) }) else {
        throw Fault(description: "\"@bytes\" of \(url) is not Base64")
      }
      any.value = data
    } else if let type = ServiceCatalog.message(at: url) {
      let isValue = type.protoMessageName.hasPrefix("google.protobuf.") && members["value"] != nil
      any.value = Data(
        try encoded(try message(isValue ? members["value"] ?? .null : .object(members), as: type)))
    } else if let value = members["value"], members.count == 1 {
      any.value = Data(value.printed())
    } else {
      throw Fault(
        description: "the type \(url) is not known: give its JSON as \"value\", or its bytes in "
          + "Base64 as \"@bytes\"")
    }
    return any
  }

  private static func encoded(_ message: any Message) throws(Fault) -> [UInt8] {
    do {
      return try message.serializedBytes()
    } catch {
      throw Fault(
        description: "a \(type(of: message).protoMessageName) cannot be encoded: \(error)")
    }
  }

  private static func unpack(_ message: inout any Message) throws {
    guard var carrying = message as? any CarriesAny else { return }
    try carrying.changeAnys { any in
      guard any.typeURL == carrier else { return }
      any = try Google_Protobuf_Any(
        serializedBytes: try Google_Protobuf_BytesValue(serializedBytes: any.value).value)
    }
    message = carrying
  }

  private static func text(of error: any Error) -> String {
    guard case JSONDecodingError.unknownField(let name) = error else { return "\(error)" }
    return "it has no field \"\(name)\""
  }

  // MARK: - Writing

  static func json(_ message: any Message) throws(Fault) -> JSONValue {
    do {
      var message = message
      if var carrying = message as? any CarriesAny {
        try carrying.changeAnys { any in
          let original = try any.serializedBytes() as Data
          any.typeURL = carrier
          any.value = try Google_Protobuf_BytesValue(original).serializedBytes()
        }
        message = carrying
      }
      return try shown(try JSONValue(parsing: try message.jsonUTF8Bytes() as [UInt8]))
    } catch {
      throw Fault(
        description: "a \(type(of: message).protoMessageName) cannot be shown as JSON: \(error)")
    }
  }

  /// The same document with what the carriers hold in their place.
  private static func shown(_ json: JSONValue) throws -> JSONValue {
    switch json {
    case .array(let elements): return .array(try elements.map(shown))
    case .object(let members):
      guard members["@type"]?.string == carrier else {
        return .object(try members.mapValues(shown))
      }
      let bytes = Data(base64Encoded: members["value"]?.string ?? "") ?? Data()
      return self.json(try Google_Protobuf_Any(serializedBytes: bytes))
    default: return json
    }
  }

  /// What an Any holds, as far as it can be known.
  static func json(_ any: Google_Protobuf_Any) -> JSONValue {
    let url = JSONValue.string(any.typeURL)
    // Bytes that are no such message are shown as bytes.
    if let type = ServiceCatalog.message(at: any.typeURL),
      let message = try? type.init(serializedBytes: any.value), let held = try? json(message)
    {
      guard case .object(var members) = held else { return ["@type": url, "value": held] }
      members["@type"] = url
      return .object(members)
    }
    if any.typeURL.hasPrefix("types.containerd.io/"),
      let value = try? JSONValue(parsing: [UInt8](any.value))
    {
      return ["@type": url, "value": value]
    }
    return ["@type": url, "@bytes": .string(any.value.base64EncodedString())]
  }

  static func json(_ detail: RPCStatusDetail) -> JSONValue {
    json(
      .with {
        $0.typeURL = detail.typeURL
        $0.value = Data(detail.value)
      })
  }
}
