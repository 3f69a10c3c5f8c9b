import FoundationEssentials
import SwiftProtobuf

// ttrpc's envelopes for SwiftProtobuf to read, written by hand so that neither they nor their
// decoder come from the code that is tested. What ours takes although it is not UTF-8 is bytes here.

/// A message that is only read.
protocol ReferenceMessage: Message, Hashable {
  mutating func read<D: Decoder>(field: Int, from decoder: inout D) throws
}

extension ReferenceMessage {
  static var protoMessageName: String { "reference" }

  mutating func decodeMessage<D: Decoder>(decoder: inout D) throws {
    while let field = try decoder.nextFieldNumber() { try read(field: field, from: &decoder) }
  }

  func traverse<V: Visitor>(visitor: inout V) throws {}
  func isEqualTo(message: any Message) -> Bool { self == message as? Self }
}

struct ReferenceRequest: ReferenceMessage {
  var service = Data()
  var method = Data()
  var payload = Data()
  var timeout: Int64 = 0
  var metadata: [ReferencePair] = []
  var unknownFields = UnknownStorage()

  mutating func read<D: Decoder>(field: Int, from decoder: inout D) throws {
    switch field {
    case 1: try decoder.decodeSingularBytesField(value: &service)
    case 2: try decoder.decodeSingularBytesField(value: &method)
    case 3: try decoder.decodeSingularBytesField(value: &payload)
    case 4: try decoder.decodeSingularInt64Field(value: &timeout)
    case 5: try decoder.decodeRepeatedMessageField(value: &metadata)
    default: break
    }
  }
}

struct ReferenceResponse: ReferenceMessage {
  var status: ReferenceStatus?
  var payload = Data()
  var unknownFields = UnknownStorage()

  mutating func read<D: Decoder>(field: Int, from decoder: inout D) throws {
    switch field {
    case 1: try decoder.decodeSingularMessageField(value: &status)
    case 2: try decoder.decodeSingularBytesField(value: &payload)
    default: break
    }
  }
}

struct ReferenceStatus: ReferenceMessage {
  var code: Int32 = 0
  var message = Data()
  var details: [ReferenceDetail] = []
  var unknownFields = UnknownStorage()

  mutating func read<D: Decoder>(field: Int, from decoder: inout D) throws {
    switch field {
    case 1: try decoder.decodeSingularInt32Field(value: &code)
    case 2: try decoder.decodeSingularBytesField(value: &message)
    case 3: try decoder.decodeRepeatedMessageField(value: &details)
    default: break
    }
  }
}

/// A key and a value: one entry of the metadata.
struct ReferencePair: ReferenceMessage {
  var key = ""
  var text = ""
  var unknownFields = UnknownStorage()

  mutating func read<D: Decoder>(field: Int, from decoder: inout D) throws {
    switch field {
    case 1: try decoder.decodeSingularStringField(value: &key)
    case 2: try decoder.decodeSingularStringField(value: &text)
    default: break
    }
  }
}

/// A type's URL and a message of it: one detail of a status.
struct ReferenceDetail: ReferenceMessage {
  var key = ""
  var value = Data()
  var unknownFields = UnknownStorage()

  mutating func read<D: Decoder>(field: Int, from decoder: inout D) throws {
    switch field {
    case 1: try decoder.decodeSingularStringField(value: &key)
    case 2: try decoder.decodeSingularBytesField(value: &value)
    default: break
    }
  }
}
