import Glibc
import SwiftProtobuf
import Testing

/// What matters on the wire, by full name.
struct DescriptorIndex: Equatable {
  struct Field: Equatable, CustomStringConvertible {
    var number: Int32
    var name: String
    var type: String
    var typeName: String
    var isRepeated: Bool
    var isOptional: Bool

    var description: String {
      "\(isRepeated ? "repeated " : isOptional ? "optional " : "")\(type)\(typeName) \(name) = "
        + "\(number)"
    }
  }

  var messages: [String: [String: Field]] = [:]
  var enumerations: [String: [String: Int32]] = [:]
  /// Methods, with what they take and give.
  var services: [String: [String: String]] = [:]

  var names: Set<String> {
    Set(messages.keys).union(enumerations.keys).union(services.keys)
  }

  init(files: [String]) throws {
    for file in files {
      let bytes = try Self.read(file)
      let set = try Google_Protobuf_FileDescriptorSet(serializedBytes: bytes)
      for file in set.file
      where !file.package.hasPrefix("google.") && file.package != "gogoproto" {
        for message in file.messageType { add(message, in: file.package) }
        for enumeration in file.enumType { add(enumeration, in: file.package) }
        for service in file.service { add(service, in: file.package) }
      }
    }
  }

  private init() {}

  /// The part of one package, as if it had another name.
  func restricted(to package: String, renamedTo other: String) -> DescriptorIndex {
    func renamed(_ text: String) -> String { text.replacing(package, with: other) }
    func kept<Value>(
      _ all: [String: Value], _ change: (Value) -> Value
    ) -> [String: Value] {
      var kept: [String: Value] = [:]
      for (name, value) in all where name.hasPrefix(package + ".") {
        kept[renamed(name)] = change(value)
      }
      return kept
    }
    var index = DescriptorIndex()
    index.messages = kept(messages) { fields in
      fields.mapValues { field in
        var field = field
        field.typeName = renamed(field.typeName)
        return field
      }
    }
    index.enumerations = kept(enumerations) { $0 }
    index.services = kept(services) { methods in methods.mapValues(renamed) }
    return index
  }

  /// Gives a message another name. False when it is not there.
  mutating func move(_ name: String, to other: String) -> Bool {
    guard let message = messages.removeValue(forKey: name) else { return false }
    messages[other] = message
    for (owner, fields) in messages {
      messages[owner] = fields.mapValues { field in
        var field = field
        if field.typeName == ".\(name)" { field.typeName = ".\(other)" }
        return field
      }
    }
    return true
  }

  private mutating func add(_ message: Google_Protobuf_DescriptorProto, in scope: String) {
    let name = "\(scope).\(message.name)"
    messages[name] = Dictionary(
      message.field.map { field in
        (
          field.name,
          Field(
            number: field.number, name: field.name, type: "\(field.type)",
            typeName: field.typeName, isRepeated: field.label == .repeated,
            isOptional: field.proto3Optional)
        )
      }, uniquingKeysWith: { first, _ in first })
    for nested in message.nestedType { add(nested, in: name) }
    for enumeration in message.enumType { add(enumeration, in: name) }
  }

  private mutating func add(_ enumeration: Google_Protobuf_EnumDescriptorProto, in scope: String) {
    enumerations["\(scope).\(enumeration.name)"] = Dictionary(
      enumeration.value.map { ($0.name, $0.number) }, uniquingKeysWith: { first, _ in first })
  }

  private mutating func add(_ service: Google_Protobuf_ServiceDescriptorProto, in scope: String) {
    services["\(scope).\(service.name)"] = Dictionary(
      service.method.map { method in
        let streams = "\(method.clientStreaming)/\(method.serverStreaming)"
        return (method.name, "\(method.inputType) -> \(method.outputType), streams: \(streams)")
      }, uniquingKeysWith: { first, _ in first })
  }

  private static func read(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"), "\(path) is missing")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { return bytes }
      bytes += chunk[..<count]
    }
  }
}

/// Two indexes side by side. Members are named `message.field`, `enumeration.value`, `service.method`.
struct DescriptorComparison {
  private(set) var common: Set<String> = []
  private(set) var different: [String] = []
  private(set) var onlyOurs: [String] = []
  private(set) var onlyTheirs: [String] = []

  init(ours: DescriptorIndex, theirs: DescriptorIndex) {
    compare(ours.messages, theirs.messages)
    compare(ours.enumerations, theirs.enumerations)
    compare(ours.services, theirs.services)
    different.sort()
    onlyOurs.sort()
    onlyTheirs.sort()
  }

  private mutating func compare<Member: Equatable>(
    _ ours: [String: [String: Member]], _ theirs: [String: [String: Member]]
  ) {
    for (name, members) in ours {
      guard let other = theirs[name] else {
        onlyOurs.append(name)
        continue
      }
      common.insert(name)
      for (member, value) in members {
        guard let theirs = other[member] else {
          onlyOurs.append("\(name).\(member)")
          continue
        }
        if value != theirs {
          different.append("\(name).\(member): ours \(value), theirs \(theirs)")
        }
      }
      for member in other.keys where members[member] == nil {
        onlyTheirs.append("\(name).\(member)")
      }
    }
  }
}
