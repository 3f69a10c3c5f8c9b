public import JSON
internal import ShimProtocol

/// A runtime specification (OCI runtime-spec `config.json`): what a container is to be.
///
/// It wraps the whole document and names only what is needed here, so that what it does not know
/// survives. The members' names are those of the runtime-spec.
public struct OCISpec: Hashable, Sendable {
  /// The type URL under which containerd passes a whole specification in an `Any`.
  public static let typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
  /// The type URL of the bare process that `Task.Exec` takes; see ``execProcess(args:env:cwd:terminal:user:)``.
  public static let processTypeURL = "types.containerd.io/opencontainers/runtime-spec/1/Process"
  /// The annotation by which containerd's runc shim knows which containers share one shim.
  public static let groupAnnotation = "io.containerd.runc.v2.group"
  /// No specification is larger: what a bundle's reader takes.
  static let largest = BundleFiles.maximumConfigSize

  /// The whole document; always an object.
  public var document: JSONValue

  init(document: JSONValue) { self.document = document }

  /// Parses a `config.json` and checks what nothing can run without.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidSpec`: not JSON (with line and column), not an
  ///   object, no `process.args`, an annotation that is not a string, mappings that are none.
  public init(parsing bytes: some Collection<UInt8>) throws(ShimManagementError) {
    try self.init(parsingObject: bytes)
    guard let args = document["process", "args"] else {
      throw Self.invalid("it has no process.args: nothing to run")
    }
    guard let words = args.strings, !words.isEmpty else {
      throw Self.invalid("process.args must be an array of strings that is not empty")
    }
  }

  /// Parses what a bundle may have as `config.json`: an object that need not describe a process,
  /// such as a sandbox's own specification.
  init(parsingObject bytes: some Collection<UInt8>) throws(ShimManagementError) {
    guard bytes.count <= Self.largest else {
      throw Self.invalid("it has \(bytes.count) bytes, and \(Self.largest) is the limit")
    }
    let document: JSONValue
    do {
      document = try JSONValue(parsing: bytes)
    } catch {
      throw Self.invalid("it is not JSON", cause: error)
    }
    guard document.object != nil else {
      throw Self.invalid("it must be a JSON object, and is \(document.kind)")
    }
    self.document = document
    if let annotations = document["annotations"], annotations != .null {
      guard let members = annotations.object, members.values.allSatisfy({ $0.string != nil })
      else { throw Self.invalid("annotations must be an object of strings") }
    }
    _ = try userNamespaceGroup()
  }

  /// The document as the bytes of a `config.json`: compact, members in order, equal for equal
  /// specifications.
  public func bytes() -> [UInt8] { document.printed() }

  static func invalid(_ fault: String, cause: (any Error)? = nil) -> ShimManagementError {
    ShimManagementError(
      code: .invalidSpec,
      message: "the runtime specification (config.json) cannot be used: \(fault)",
      hint: "Compare it with what \"runc spec\" writes.", cause: cause)
  }
}

extension OCISpec {
  public var annotations: [String: String] {
    get { document["annotations"]?.object?.compactMapValues(\.string) ?? [:] }
    set {
      document["annotations"] = newValue.isEmpty ? nil : .object(newValue.mapValues { .string($0) })
    }
  }

  /// The sandbox whose shim this container is to share, by the annotation that the runc shim reads.
  public var group: String? {
    get { annotations[Self.groupAnnotation] }
    set { annotations[Self.groupAnnotation] = newValue }
  }

  /// The host's gid that is gid 0 in the container's user namespace: the `hostID` of the entry of
  /// `linux.gidMappings` whose `containerID` is exactly 0. nil if there is none, or if it is 0 too.
  ///
  /// Like containerd it does not look into ranges that begin below 0: there are none.
  ///
  /// - Throws: `invalidSpec` for mappings that are not objects of numbers in range.
  public func userNamespaceGroup() throws(ShimManagementError) -> UInt32? {
    guard let value = document["linux", "gidMappings"], value != .null else { return nil }
    guard let mappings = value.array else {
      throw Self.invalid("linux.gidMappings must be an array, and is \(value.kind)")
    }
    for (index, mapping) in mappings.enumerated() {
      func id(_ name: String) throws(ShimManagementError) -> UInt32 {
        guard let value = mapping[name]?.integer, let id = UInt32(exactly: value) else {
          throw Self.invalid("linux.gidMappings[\(index)].\(name) must be a number of 32 bits")
        }
        return id
      }
      if try id("containerID") == 0 {
        let host = try id("hostID")
        return host == 0 ? nil : host
      }
    }
    return nil
  }

  public var args: [String] {
    get { document["process", "args"]?.strings ?? [] }
    set { document["process", "args"] = JSONValue(strings: newValue) }
  }

  /// The environment as `NAME=value` entries.
  public var env: [String] {
    get { document["process", "env"]?.strings ?? [] }
    set { document["process", "env"] = JSONValue(strings: newValue) }
  }

  public var cwd: String? {
    get { document["process", "cwd"]?.string }
    set { document["process", "cwd"] = newValue.map(JSONValue.string) }
  }

  public var terminal: Bool {
    get { document["process", "terminal"]?.bool ?? false }
    set { document["process", "terminal"] = .bool(newValue) }
  }

  public var user: OCIUser {
    get { OCIUser(json: document["process", "user"]) }
    set {
      var user = document["process", "user"] ?? [:]
      newValue.write(into: &user)
      document["process", "user"] = user
    }
  }

  /// The root file system's directory: absolute, or relative to the bundle.
  public var rootPath: String? {
    get { document["root", "path"]?.string }
    set { document["root", "path"] = newValue.map(JSONValue.string) }
  }

  public var isRootReadonly: Bool {
    get { document["root", "readonly"]?.bool ?? false }
    set { document["root", "readonly"] = .bool(newValue) }
  }

  public var hostname: String? {
    get { document["hostname"]?.string }
    set { document["hostname"] = newValue.map(JSONValue.string) }
  }

  public var cgroupsPath: String? {
    get { document["linux", "cgroupsPath"]?.string }
    set { document["linux", "cgroupsPath"] = newValue.map(JSONValue.string) }
  }
}
