internal import JSON

/// What the journal of a container says: enough to answer for it after the shim has died.
public struct JournalRecord: Hashable, Sendable {
  /// A process by its number and the time of its start, which tells it from a later one.
  public struct Process: Hashable, Sendable {
    public var pid: Int32
    /// Clock ticks since boot; nil when it had ended before it could be looked at.
    public var startTime: UInt64?

    public init(pid: Int32, startTime: UInt64?) {
      self.pid = pid
      self.startTime = startTime
    }
  }

  public struct Stdio: Hashable, Sendable {
    public var stdin = ""
    public var stdout = ""
    public var stderr = ""
    public var terminal = false

    public init() {}
  }

  public struct Exec: Hashable, Sendable {
    /// The OCI process, as JSON.
    public var spec: [UInt8] = []
    public var stdio = Stdio()
    public var process: Process?
    public var exit: ProcessEnd?

    public init() {}
  }

  public var id: String
  public var namespace: String
  public var options = RuntimeOptions()
  public var stdio = Stdio()
  /// Whether the shim mounted something onto the bundle's `rootfs`.
  public var hasMounts = false
  public var initProcess: Process?
  public var exit: ProcessEnd?
  public var execs: [String: Exec] = [:]
  /// The programs that take output, by the exec whose it is; `""` for the init.
  public var loggers: [String: Process] = [:]

  public init(id: String, namespace: String) {
    self.id = id
    self.namespace = namespace
  }
}

// MARK: As JSON

/// A member that is missing or of another type.
struct JournalFault: Error, CustomStringConvertible {
  var description: String
}

/// Reads the members of one object, and says where one is not what it must be.
private struct Members {
  var members: [String: JSONValue]
  var path: String

  init(_ value: JSONValue, _ path: String) throws(JournalFault) {
    guard let object = value.object else {
      throw JournalFault(description: "\(path) is \(value.kind) instead of an object")
    }
    members = object
    self.path = path
  }

  func require<T>(_ name: String, _ read: (JSONValue) throws(JournalFault) -> T?)
    throws(JournalFault) -> T
  {
    guard let value = members[name] else {
      throw JournalFault(description: "\(path).\(name) is missing")
    }
    guard let taken = try read(value) else {
      throw JournalFault(description: "\(path).\(name) is \(value.kind), or out of range")
    }
    return taken
  }

  func optional<T>(_ name: String, _ read: (JSONValue) throws(JournalFault) -> T?)
    throws(JournalFault) -> T?
  {
    members[name] == nil ? nil : try require(name, read)
  }

  func string(_ name: String) throws(JournalFault) -> String {
    try require(name) { (value) throws(JournalFault) in value.string }
  }

  func bool(_ name: String) throws(JournalFault) -> Bool {
    try require(name) { (value) throws(JournalFault) in value.bool }
  }

  func number<N: FixedWidthInteger>(_ name: String, _: N.Type = N.self) throws(JournalFault) -> N {
    try require(name) { (value) throws(JournalFault) in value.whole(N.self) }
  }
}

extension JSONValue {
  fileprivate init(_ number: UInt64) {
    self = Int64(exactly: number).map(JSONValue.integer) ?? .unsigned(number)
  }

  fileprivate func whole<N: FixedWidthInteger>(_: N.Type) -> N? {
    switch self {
    case .integer(let value): N(exactly: value)
    case .unsigned(let value): N(exactly: value)
    default: nil
    }
  }
}

extension JournalRecord {
  var json: JSONValue {
    var value: JSONValue = [
      "id": .string(id), "namespace": .string(namespace), "options": options.json,
      "stdio": stdio.json, "mounts": .bool(hasMounts),
      "execs": .object(execs.mapValues(\.json)),
    ]
    value["process"] = initProcess?.json
    value["exit"] = exit?.json
    if !loggers.isEmpty { value["loggers"] = .object(loggers.mapValues(\.json)) }
    return value
  }

  init(_ value: JSONValue) throws(JournalFault) {
    let members = try Members(value, "record")
    self.init(id: try members.string("id"), namespace: try members.string("namespace"))
    options = try members.require("options") { (value) throws(JournalFault) in
      try RuntimeOptions(journalled: value)
    }
    stdio = try members.require("stdio") { (value) throws(JournalFault) in
      try Stdio(value, "record.stdio")
    }
    hasMounts = try members.bool("mounts")
    initProcess = try members.optional("process") { (value) throws(JournalFault) in
      try Process(value, "record.process")
    }
    exit = try members.optional("exit") { (value) throws(JournalFault) in
      try ProcessEnd(value, "record.exit")
    }
    let journalled = try members.require("execs") { (value) throws(JournalFault) in value.object }
    let loggers = try members.optional("loggers") { (value) throws(JournalFault) in value.object }
    for (id, logger) in loggers ?? [:] {
      self.loggers[id] = try Process(logger, "record.loggers.\(id)")
    }
    for (id, exec) in journalled { execs[id] = try Exec(exec, "record.execs.\(id)") }
  }
}

extension JournalRecord.Process {
  fileprivate var json: JSONValue {
    var value: JSONValue = ["pid": .integer(Int64(pid))]
    value["startTime"] = startTime.map { JSONValue($0) }
    return value
  }

  fileprivate init(_ value: JSONValue, _ path: String) throws(JournalFault) {
    let members = try Members(value, path)
    let startTime = try members.optional("startTime") { (value) throws(JournalFault) in
      value.whole(UInt64.self)
    }
    self.init(pid: try members.number("pid"), startTime: startTime)
  }
}

extension JournalRecord.Stdio {
  fileprivate var json: JSONValue {
    [
      "stdin": .string(stdin), "stdout": .string(stdout), "stderr": .string(stderr),
      "terminal": .bool(terminal),
    ]
  }

  fileprivate init(_ value: JSONValue, _ path: String) throws(JournalFault) {
    let members = try Members(value, path)
    stdin = try members.string("stdin")
    stdout = try members.string("stdout")
    stderr = try members.string("stderr")
    terminal = try members.bool("terminal")
  }
}

extension JournalRecord.Exec {
  fileprivate var json: JSONValue {
    var value: JSONValue = [
      "spec": .string(String(decoding: spec, as: UTF8.self)), "stdio": stdio.json,
    ]
    value["process"] = process?.json
    value["exit"] = exit?.json
    return value
  }

  fileprivate init(_ value: JSONValue, _ path: String) throws(JournalFault) {
    let members = try Members(value, path)
    spec = Array(try members.string("spec").utf8)
    stdio = try members.require("stdio") { (value) throws(JournalFault) in
      try JournalRecord.Stdio(value, "\(path).stdio")
    }
    process = try members.optional("process") { (value) throws(JournalFault) in
      try JournalRecord.Process(value, "\(path).process")
    }
    exit = try members.optional("exit") { (value) throws(JournalFault) in
      try ProcessEnd(value, "\(path).exit")
    }
  }
}

extension ProcessEnd {
  fileprivate var json: JSONValue {
    [
      "status": .integer(Int64(status)), "seconds": .integer(time.seconds),
      "nanoseconds": .integer(Int64(time.nanoseconds)),
    ]
  }

  fileprivate init(_ value: JSONValue, _ path: String) throws(JournalFault) {
    let members = try Members(value, path)
    self.init(
      status: try members.number("status"),
      time: WallTime(
        seconds: try members.number("seconds"), nanoseconds: try members.number("nanoseconds")))
  }
}

extension RuntimeOptions {
  fileprivate var json: JSONValue {
    [
      "binaryName": .string(binaryName), "root": .string(root),
      "systemdCgroup": .bool(systemdCgroup), "noPivotRoot": .bool(noPivotRoot),
      "noNewKeyring": .bool(noNewKeyring), "shimCgroup": .string(shimCgroup),
      "ioUid": .integer(Int64(ioUid)), "ioGid": .integer(Int64(ioGid)),
      "criuImagePath": .string(criuImagePath), "criuWorkPath": .string(criuWorkPath),
      "extraArguments": JSONValue(strings: extraArguments),
      "commandTimeoutSeconds": .integer(commandTimeout.components.seconds),
    ]
  }

  fileprivate init(journalled value: JSONValue) throws(JournalFault) {
    let members = try Members(value, "record.options")
    self.init()
    binaryName = try members.string("binaryName")
    root = try members.string("root")
    systemdCgroup = try members.bool("systemdCgroup")
    noPivotRoot = try members.bool("noPivotRoot")
    noNewKeyring = try members.bool("noNewKeyring")
    shimCgroup = try members.string("shimCgroup")
    ioUid = try members.number("ioUid")
    ioGid = try members.number("ioGid")
    criuImagePath = try members.string("criuImagePath")
    criuWorkPath = try members.string("criuWorkPath")
    extraArguments = try members.require("extraArguments") { (value) throws(JournalFault) in
      value.strings
    }
    commandTimeout = .seconds(try members.number("commandTimeoutSeconds", Int64.self))
  }
}
