internal import LinuxSystem
internal import ShimManagement
internal import ShimProtocol
internal import TOML
internal import TransportCore

extension ServeConfiguration {
  /// Reads the text of a configuration file. Unlike one of containerd's, it has no keys that mean
  /// nothing.
  ///
  /// - Throws: ``Fault``, for the first key that is unknown or whose value cannot be meant.
  public init(parsing bytes: [UInt8]) throws(Fault) {
    let table: TOMLTable
    do throws(TOMLTable.Fault) { table = try TOMLTable(parsing: bytes) } catch {
      throw Fault(line: error.line, message: error.message)
    }
    self.init()
    var reader = ConfigurationReader(self)
    for entry in table.entries { try reader.take(entry) }
    self = try reader.finished()
  }
}

/// Puts one entry after the other into a configuration.
private struct ConfigurationReader {
  typealias Fault = ServeConfiguration.Fault

  private var configuration: ServeConfiguration
  private var driverKeys: [String: [TOMLTable.Entry]] = [:]
  private var driverLines: [String: Int] = [:]
  private var runtimeLines: [String: Int] = [:]
  private var defaultLine = 1

  init(_ configuration: ServeConfiguration) { self.configuration = configuration }

  private static let topKeys = [
    "state", "root", "address", "namespaces", "default-driver", "log-level", "grace",
  ]
  private static let tables = ["timeouts", "events", "drivers", "runtimes"]
  private static let timeouts: [String: any WritableKeyPath<ControlLimits, Duration> & Sendable] = [
    "io.containerd.timeout.shim.load": \.load,
    "io.containerd.timeout.shim.cleanup": \.cleanup,
    "io.containerd.timeout.shim.shutdown": \.shutdown,
    "io.containerd.timeout.task.state": \.state,
    "io.containerd.timeout.metrics.shimstats": \.metrics,
    "io.hawsepipe.timeout.sandbox.create": \.create,
    "io.hawsepipe.timeout.sandbox.start": \.start,
    "io.hawsepipe.timeout.sandbox.stop": \.stop,
  ]

  mutating func take(_ entry: TOMLTable.Entry) throws(Fault) {
    let path = entry.path
    guard path.count > 1 else {
      try takeTop(entry)
      return
    }
    switch path[0] {
    case "timeouts":
      let key = path.dropFirst().joined(separator: ".")
      guard entry.value != nil, let limit = Self.timeouts[key] else {
        throw unknown(key, in: "[timeouts]", among: Array(Self.timeouts.keys), entry)
      }
      let duration = try duration(entry)
      guard duration > .zero else { throw bad(entry, "a time above 0") }
      configuration.limits[keyPath: limit] = duration
    case "events":
      guard path.count == 2, entry.value != nil, path[1] == "containerd" else {
        throw unknown(path[1], in: "[events]", among: ["containerd"], entry)
      }
      configuration.eventsSocket = try absolutePath(entry)
    case "drivers": try takeDriver(entry)
    case "runtimes": try takeRuntime(entry)
    default: throw unknown(path[0], in: "the configuration", among: Self.tables, entry)
    }
  }

  private mutating func takeTop(_ entry: TOMLTable.Entry) throws(Fault) {
    let key = entry.path[0]
    guard entry.value != nil else {
      guard Self.tables.contains(key) else {
        throw unknown("[\(key)]", key, in: "the configuration", among: Self.tables, entry)
      }
      return
    }
    switch key {
    case "state": configuration.state = try absolutePath(entry)
    case "root": configuration.root = try absolutePath(entry)
    case "address":
      let text = try string(entry)
      let address = try parsed(text, entry)
      guard address.rpc != .ttrpc else {
        throw Fault(line: entry.line, message: "address: the API is served over gRPC")
      }
      configuration.address = text
    case "namespaces":
      guard let names = entry.value?.strings, !names.isEmpty else {
        throw bad(entry, "an array of strings, of one or more")
      }
      for name in names {
        do throws(ShimProtocolError) { try Identifier.validate(name, as: .namespace) } catch {
          throw Fault(line: entry.line, message: "namespaces: \(error)")
        }
      }
      configuration.namespaces = Set(names)
    case "default-driver":
      let name = try string(entry)
      configuration.defaultDriver = name.isEmpty ? nil : name
      defaultLine = entry.line
    case "log-level":
      let levels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]
      let level = try string(entry)
      guard levels.contains(level) else { throw bad(entry, "one of \(Self.list(levels))") }
      configuration.logLevel = level
    case "grace": configuration.grace = try duration(entry)
    default:
      throw unknown(key, in: "the configuration", among: Self.topKeys + Self.tables, entry)
    }
  }

  // MARK: Drivers

  private mutating func takeDriver(_ entry: TOMLTable.Entry) throws(Fault) {
    let name = entry.path[1]
    do throws(ShimProtocolError) { try Identifier.validate(name, as: .id) } catch {
      throw Fault(line: entry.line, message: "drivers: \(error)")
    }
    guard entry.path.count == (entry.value == nil ? 2 : 3) else {
      throw Fault(line: entry.line, message: "[drivers.\(name)] has keys, and no tables")
    }
    if driverLines[name] == nil { driverLines[name] = entry.line }
    driverKeys[name, default: []] += entry.value == nil ? [] : [entry]
  }

  private mutating func driver(_ name: String) throws(Fault) -> ServeConfiguration.Driver {
    let entries = driverKeys[name] ?? []
    guard let type = entries.first(where: { $0.path[2] == "type" }) else {
      throw Fault(
        line: driverLines[name] ?? 1,
        message: "[drivers.\(name)] has no type, which is \"shim\" or \"remote\"")
    }
    let others = entries.filter { $0.path[2] != "type" }
    switch try string(type) {
    case "shim":
      return .shim(try shim(name, others))
    case "remote": return .remote(try remote(name, others))
    default: throw bad(type, "\"shim\" or \"remote\"")
    }
  }

  private static let shimKeys = ["binary", "debug", "env", "sched_core", "dialect"]

  private mutating func shim(
    _ name: String, _ entries: [TOMLTable.Entry]
  ) throws(Fault) -> ServeConfiguration.Shim {
    var shim = ServeConfiguration.Shim()
    var old: TOMLTable.Entry?
    for entry in entries {
      switch entry.path[2] {
      case "binary": shim.binary = try absolutePath(entry)
      case "debug": shim.debug = try bool(entry)
      case "env":
        guard let settings = entry.value?.strings else { throw bad(entry, "an array of strings") }
        do throws(ShimManagementError) {
          shim.environment = try ShimEnvironment(settings: settings)
        } catch {
          throw Fault(line: entry.line, message: "env: \(error)")
        }
      case "sched_core": old = entry
      case "dialect":
        let names = StartDialect.allCases.map(\.rawValue)
        guard let dialect = StartDialect(rawValue: try string(entry)) else {
          throw bad(entry, "one of \(Self.list(names))")
        }
        shim.dialect = dialect
      default:
        throw unknown(
          entry.path[2], in: "[drivers.\(name)] of the type shim", among: Self.shimKeys, entry)
      }
    }
    // Behind `env`, which wins.
    if let old {
      let setting: ShimEnvironment.SchedCore =
        switch old.value {
        case .bool(let value): .boolean(value)
        case .string(let text): .other("\"\(text)\"")
        case .integer(let number): .other("\(number)")
        case .array: .other("an array")
        case .other(let text): .other(text)
        case nil: .other("a table")
        }
      if let warning = shim.environment.migrate(schedCore: setting) {
        configuration.warnings.append(Fault(line: old.line, message: warning))
      }
    }
    return shim
  }

  private static let remoteKeys = [
    "address", "tasks", "version", "probe", "ready", "gone-after", "bundle", "annotations",
  ]

  private func remote(
    _ name: String, _ entries: [TOMLTable.Entry]
  ) throws(Fault) -> RemoteDriver.Configuration {
    var remote = RemoteDriver.Configuration()
    for entry in entries {
      switch entry.path[2] {
      case "address": remote.address = try template(entry)
      case "tasks": remote.tasks = try template(entry)
      case "version":
        guard let number = entry.value?.integer, number == 2 || number == 3 else {
          throw bad(entry, "2 or 3")
        }
        remote.version = UInt32(number)
      case "probe":
        guard let probe = RemoteDriver.Probe(rawValue: try string(entry)) else {
          throw bad(entry, "one of \(Self.list(RemoteDriver.Probe.allCases.map(\.rawValue)))")
        }
        remote.probe = probe
      case "ready":
        remote.ready = try duration(entry)
        guard remote.ready > .zero else { throw bad(entry, "a time above 0") }
      case "gone-after":
        let duration = try duration(entry)
        remote.goneAfter = duration == .zero ? nil : duration
      case "bundle": remote.bundle = try absolutePath(entry)
      case "annotations": remote.allowsAnnotations = try bool(entry)
      default:
        throw unknown(
          entry.path[2], in: "[drivers.\(name)] of the type remote", among: Self.remoteKeys, entry)
      }
    }
    return remote
  }

  /// An address in which `{id}` and `{namespace}` stand for a sandbox's.
  private func template(_ entry: TOMLTable.Entry) throws(Fault) -> String {
    let text = try string(entry)
    let example = text.replacing("{id}", with: "1").replacing("{namespace}", with: "1")
    _ = try parsed(example, entry)
    return text
  }

  private func parsed(
    _ text: String, _ entry: TOMLTable.Entry
  ) throws(Fault) -> TransportAddress {
    do throws(TransportError) { return try TransportAddress(parsing: text) } catch {
      throw Fault(line: entry.line, message: "\(entry.path.last ?? ""): \(error)")
    }
  }

  // MARK: Runtimes

  private mutating func takeRuntime(_ entry: TOMLTable.Entry) throws(Fault) {
    guard entry.value != nil else { return }
    // Written without quotation marks a runtime's name is several keys; it is meant all the same.
    let name = entry.path[1..<(entry.path.count - 1)].joined(separator: ".")
    guard !name.isEmpty, let key = entry.path.last, key == "driver" else {
      throw unknown(
        entry.path.last ?? "", in: "[runtimes.\"\(name)\"]", among: ["driver"], entry)
    }
    configuration.runtimes[name] = try string(entry)
    runtimeLines[name] = entry.line
  }

  mutating func finished() throws(Fault) -> ServeConfiguration {
    if !driverLines.isEmpty {
      configuration.drivers = [:]
      for name in driverLines.keys.sorted() { configuration.drivers[name] = try driver(name) }
    }
    func check(_ name: String, _ line: Int) throws(Fault) {
      guard configuration.drivers[name] == nil else { return }
      let names = configuration.drivers.keys.sorted()
      throw Fault(
        line: line, message: "there is no [drivers.\(name)]",
        hint: Likeness.closest(to: name, among: names).map { "did you mean \"\($0)\"?" }
          ?? "there is \(Self.list(names))")
    }
    for name in configuration.runtimes.keys.sorted() {
      try check(configuration.runtimes[name] ?? "", runtimeLines[name] ?? 1)
    }
    if let name = configuration.defaultDriver {
      // The default of the default is there only where no drivers are described.
      if defaultLine == 1, !driverLines.isEmpty, configuration.drivers[name] == nil {
        configuration.defaultDriver = nil
      } else {
        try check(name, defaultLine)
      }
    }
    return configuration
  }

  // MARK: Values

  private func string(_ entry: TOMLTable.Entry) throws(Fault) -> String {
    guard let text = entry.value?.string else { throw bad(entry, "a string") }
    return text
  }

  private func bool(_ entry: TOMLTable.Entry) throws(Fault) -> Bool {
    guard let value = entry.value?.bool else { throw bad(entry, "true or false") }
    return value
  }

  private func absolutePath(_ entry: TOMLTable.Entry) throws(Fault) -> String {
    guard let path = PathText.cleaned(try string(entry)), path != "/" else {
      throw bad(entry, "an absolute path, without \"..\"")
    }
    return path
  }

  private func duration(_ entry: TOMLTable.Entry) throws(Fault) -> Duration {
    guard let text = entry.value?.string, let duration = DurationText.parse(text) else {
      throw bad(entry, "a time such as \"5s\" or \"500ms\", and at most a day")
    }
    return duration
  }

  private func bad(_ entry: TOMLTable.Entry, _ expected: String) -> Fault {
    Fault(
      line: entry.line,
      message: "\(entry.path.joined(separator: ".")) must be \(expected)")
  }

  private func unknown(
    _ shown: String, _ key: String? = nil, in place: String, among keys: [String],
    _ entry: TOMLTable.Entry
  ) -> Fault {
    Fault(
      line: entry.line, message: "\(place) has no \"\(shown.prefix(200))\"",
      hint: Likeness.closest(to: key ?? shown, among: keys, longest: 64).map {
        "did you mean \"\($0)\"?"
      } ?? "there is \(Self.list(keys.sorted()))")
  }

  private static func list(_ words: [String]) -> String { words.joined(separator: ", ") }
}
