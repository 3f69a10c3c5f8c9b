internal import ProcessSupervision

/// What a sandbox is made of: of Kubernetes' `runtime.v1.PodSandboxConfig`, which containerd sends as
/// the sandbox's options, what concerns namespaces.
struct PodConfiguration: Hashable, Sendable {
  /// The type's name behind the last slash of an `Any`'s URL.
  static let typeName = "runtime.v1.PodSandboxConfig"

  /// Empty: the host's.
  var hostname = ""
  var sharesPIDs = false
  /// Whether it has the host's semaphores and shared memory.
  var hasHostIPC = false
  /// Kernel parameters of its namespaces, by names with dots.
  var sysctls: [String: String] = [:]
  /// Whether a user namespace is asked for.
  var hasUserNamespace = false

  var namespaces: Command.Namespaces {
    var namespaces: Command.Namespaces = .uts
    if !hasHostIPC { namespaces.insert(.ipc) }
    if sharesPIDs { namespaces.insert(.pid) }
    return namespaces
  }

  /// That of a sandbox of no pod: its processes are numbered for each container by itself.
  init() {}

  /// - Throws: `invalidOptions`.
  init(_ bytes: [UInt8]) throws(OCIShimError) {
    var namespaceOptions = WireFields()
    do throws(WireFields.Malformed) {
      let config = try WireFields(bytes)
      hostname = config.string(2)
      let linux = try config.message(8)
      for entry in linux.all(3) {
        let pair = try WireFields(entry)
        sysctls[pair.string(1)] = pair.string(2)
      }
      namespaceOptions = try linux.message(2).message(1)
    } catch {
      throw OCIShimError(
        code: .invalidOptions, message: "the \(Self.typeName) of the sandbox cannot be decoded")
    }
    // Of NamespaceMode, 0 is POD and 2 is NODE; a message without fields means POD for all.
    sharesPIDs = namespaceOptions.number(2) == 0
    hasHostIPC = namespaceOptions.number(3) == 2
    hasUserNamespace = !namespaceOptions.all(5).isEmpty
    if let modes = namespaceOptions.all(5).last, let user = try? WireFields(modes) {
      // A user namespace that is not to be decoded is refused as one of its own.
      hasUserNamespace = user.number(1) == 0
    }
  }

  /// The longest that the kernel takes, in bytes (`__NEW_UTS_LEN`).
  private static let longestHostname = 64

  /// - Throws: `invalidOptions`: what would not do what it says, or would change the host.
  func validate(hasOwnNetwork: Bool) throws(OCIShimError) {
    func refuse(_ message: String) -> OCIShimError {
      OCIShimError(code: .invalidOptions, message: message)
    }
    guard hostname.utf8.count <= Self.longestHostname, !hostname.utf8.contains(0) else {
      throw refuse("the host name has more than \(Self.longestHostname) bytes, or a NUL byte")
    }
    if hasUserNamespace { throw refuse("pods with a user namespace of their own are not served") }
    for (name, value) in sysctls {
      let quoted = name.prefix(100).debugDescription
      let isPlain = name.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"),
          UInt8(ascii: "."):
          true
        default: false
        }
      }
      guard isPlain, !name.contains(".."), name.utf8.count < 200, value.utf8.count < 1000,
        !value.utf8.contains(0)
      else { throw refuse("\(quoted) is no kernel parameter") }
      let isIPC =
        name == "kernel.sem" || name.hasPrefix("kernel.shm") || name.hasPrefix("kernel.msg")
        || name.hasPrefix("fs.mqueue.")
      guard isIPC ? !hasHostIPC : name.hasPrefix("net.") && hasOwnNetwork else {
        throw refuse("the kernel parameter \(quoted) is not one of the pod's own namespaces")
      }
    }
  }
}

/// The fields of one protobuf message, undecoded. The messages are few, and their generated code would be
/// most of what a shim has of Kubernetes.
struct WireFields {
  struct Malformed: Error {}

  private var numbers: [Int: UInt64] = [:]
  private var bytes: [Int: [[UInt8]]] = [:]

  init() {}

  init(_ message: [UInt8]) throws(Malformed) {
    var rest = message[...]
    while !rest.isEmpty {
      let key = try Self.varint(&rest)
      let field = Int(truncatingIfNeeded: key >> 3)
      guard key >> 3 > 0, key >> 3 < 1 << 29 else { throw Malformed() }
      switch key & 7 {
      case 0: numbers[field] = try Self.varint(&rest)
      case 1: _ = try Self.take(8, &rest)
      case 2: bytes[field, default: []].append(try Self.take(Self.varint(&rest), &rest))
      case 5: _ = try Self.take(4, &rest)
      default: throw Malformed()
      }
    }
  }

  /// 0 where it is missing.
  func number(_ field: Int) -> UInt64 { numbers[field] ?? 0 }

  func all(_ field: Int) -> [[UInt8]] { bytes[field] ?? [] }

  func string(_ field: Int) -> String { String(decoding: all(field).last ?? [], as: UTF8.self) }

  /// Without fields where it is missing. Several are one message in parts.
  func message(_ field: Int) throws(Malformed) -> WireFields {
    try WireFields(Array(all(field).joined()))
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) throws(Malformed) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard let byte = rest.popFirst() else { break }
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw Malformed()
  }

  private static func take(_ count: UInt64, _ rest: inout ArraySlice<UInt8>) throws(Malformed)
    -> [UInt8]
  {
    guard count <= UInt64(rest.count) else { throw Malformed() }
    defer { rest = rest.dropFirst(Int(count)) }
    return Array(rest.prefix(Int(count)))
  }
}
