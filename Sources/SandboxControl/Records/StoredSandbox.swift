internal import ContainerdAPI
internal import ContainerdClient
internal import FoundationEssentials  // For Data, which SwiftProtobuf keeps bytes in, and its base64.
internal import JSON
internal import SwiftProtobuf

/// What is on the disk of one sandbox: a JSON object that says in words what a person wants to know,
/// and has the client's request as it came.
struct StoredSandbox: Hashable, Sendable {
  static let version: Int64 = 1
  /// A request may have a whole OCI spec in it; containerd's own limit of a message is 16 MiB.
  static let largest = 24 << 20

  var order: SandboxOrder
  /// The driver's name.
  var driver: String
  var machine: SandboxMachine
  var createdAt: Google_Protobuf_Timestamp

  /// What is wrong with a record.
  struct Fault: Error, Hashable, Sendable {
    var message: String
  }

  // MARK: Writing

  /// - Throws: ``Fault`` when the request cannot be encoded.
  func encoded() throws(Fault) -> [UInt8] {
    let request: Data
    do { request = try order.request.serializedData() } catch {
      throw Fault(message: "its request cannot be encoded: \(error)")
    }
    var json: JSONValue = [
      "version": .integer(Self.version), "namespace": .string(order.name.namespace),
      "id": .string(order.name.id), "driver": .string(driver), "runtime": .string(order.runtime),
      "state": .string(machine.recordedState.rawValue), "createdAt": Self.json(createdAt),
      "request": .string(request.base64EncodedString()),
    ]
    if let instance = machine.instance {
      json["instance"] = [
        "pid": .integer(Int64(instance.pid)), "createdAt": Self.json(instance.createdAt),
        "address": .string(instance.address), "version": .integer(Int64(instance.version)),
        "labels": .object(instance.labels.mapValues(JSONValue.string)),
      ]
      if let spec = instance.spec {
        json["instance", "spec"] = [
          "typeURL": .string(spec.typeURL), "value": .string(spec.value.base64EncodedString()),
        ]
      }
    }
    if let exit = machine.exit {
      json["exit"] = [
        "status": .integer(Int64(exit.status)), "exitedAt": Self.json(exit.exitedAt ?? .now),
      ]
    }
    return json.printed()
  }

  private static func json(_ time: Google_Protobuf_Timestamp) -> JSONValue {
    ["seconds": .integer(time.seconds), "nanos": .integer(Int64(time.nanos))]
  }

  // MARK: Reading

  /// - Parameter name: what the file is named after, which must be what is in it.
  /// - Throws: ``Fault``: nothing is guessed.
  init(decoding bytes: [UInt8], named name: SandboxName) throws(Fault) {
    let json: JSONValue
    do { json = try JSONValue(parsing: bytes) } catch {
      throw Fault(message: "it is not JSON: \(error)")
    }
    let reader = Reader(json: json)
    let version = try reader.integer("version")
    guard version == Self.version else {
      throw Fault(
        message: "it is of version \(version), and this program knows version \(Self.version)")
    }
    guard try reader.string("namespace") == name.namespace, try reader.string("id") == name.id
    else { throw Fault(message: "it is that of another sandbox") }
    guard let state = SandboxMachine.State(rawValue: try reader.string("state")) else {
      throw Fault(message: "its state is none that this program knows")
    }
    driver = try reader.string("driver")
    createdAt = try reader.time("createdAt")
    let request = try reader.bytes("request")
    do {
      order = SandboxOrder(
        name: name,
        request: try Containerd_Services_Sandbox_V1_ControllerCreateRequest(
          serializedBytes: request))
    } catch {
      throw Fault(message: "its request is damaged: \(error)")
    }
    let instance = try reader.instance()
    guard instance != nil || state != .running else {
      throw Fault(message: "it says that the sandbox runs, and not where")
    }
    let exit = try reader.exit()
    guard exit != nil || state != .stopped else {
      throw Fault(message: "it says that the sandbox has ended, and not how")
    }
    machine = SandboxMachine(recorded: state, instance: instance, exit: exit)
  }

  init(
    order: SandboxOrder, driver: String, machine: SandboxMachine,
    createdAt: Google_Protobuf_Timestamp
  ) {
    self.order = order
    self.driver = driver
    self.machine = machine
    self.createdAt = createdAt
  }

  private struct Reader {
    let json: JSONValue

    func member(_ path: String) throws(Fault) -> JSONValue {
      guard let value = json[path] else { throw Fault(message: "\"\(path)\" is missing") }
      return value
    }

    func string(_ path: String) throws(Fault) -> String {
      guard let text = try member(path).string else {
        throw Fault(message: "\"\(path)\" is not a string")
      }
      return text
    }

    func integer(_ path: String) throws(Fault) -> Int64 {
      guard let number = try member(path).integer else {
        throw Fault(message: "\"\(path)\" is not a whole number")
      }
      return number
    }

    func number(_ path: String) throws(Fault) -> UInt32 {
      guard let number = UInt32(exactly: try integer(path)) else {
        throw Fault(message: "\"\(path)\" is not a number from 0 to \(UInt32.max)")
      }
      return number
    }

    func bytes(_ path: String) throws(Fault) -> Data {
      guard let bytes = Data(base64Encoded: try string(path)) else {
        throw Fault(message: "\"\(path)\" is not base64")
      }
      return bytes
    }

    func time(_ path: String) throws(Fault) -> Google_Protobuf_Timestamp {
      let time = Reader(json: try member(path))
      let nanos = try time.integer("nanos")
      guard (0..<1_000_000_000).contains(nanos) else {
        throw Fault(message: "\"\(path)\" is not a time")
      }
      return Google_Protobuf_Timestamp(seconds: try time.integer("seconds"), nanos: Int32(nanos))
    }

    func instance() throws(Fault) -> SandboxInstance? {
      guard let there = json["instance"] else { return nil }
      let reader = Reader(json: there)
      guard let labels = try reader.member("labels").object else {
        throw Fault(message: "\"labels\" is not an object")
      }
      var instance = SandboxInstance(
        pid: try reader.number("pid"), createdAt: try reader.time("createdAt"),
        address: try reader.string("address"), version: try reader.number("version"))
      for (key, value) in labels {
        guard let text = value.string else {
          throw Fault(message: "the label \"\(key.prefix(100))\" is not a string")
        }
        instance.labels[key] = text
      }
      if let spec = there["spec"] {
        let reader = Reader(json: spec)
        var held = Google_Protobuf_Any()
        held.typeURL = try reader.string("typeURL")
        held.value = try reader.bytes("value")
        instance.spec = held
      }
      return instance
    }

    func exit() throws(Fault) -> SandboxExit? {
      guard let there = json["exit"] else { return nil }
      let reader = Reader(json: there)
      return SandboxExit(
        status: try reader.number("status"), exitedAt: try reader.time("exitedAt"))
    }
  }
}
