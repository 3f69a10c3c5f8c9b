internal import JSON
internal import ShimProtocol

/// What the shim itself has to know of a bundle's `config.json`; the rest is the runtime's.
struct ContainerConfiguration: Hashable, Sendable {
  /// Whether a PID namespace is made for the container: then its init's end ends all in it.
  var hasOwnPIDNamespace = false
  /// The user namespace's root as the host numbers it; 0 where there is no such namespace.
  var rootUid: UInt32 = 0
  var rootGid: UInt32 = 0

  init() {}

  /// One that cannot be read asks for nothing: then all that is left at the end is killed, which harms
  /// nobody. The runtime will say what is wrong with it.
  init(bundle: String) {
    guard
      let bytes = try? BundleFiles(path: bundle).read("config.json", limit: 16 << 20),
      let spec = try? JSONValue(parsing: bytes)
    else {
      self.init()
      return
    }
    self.init(spec)
  }

  init(_ spec: JSONValue) {
    let namespaces = spec["linux", "namespaces"]?.array ?? []
    hasOwnPIDNamespace = namespaces.contains {
      $0["type"]?.string == "pid" && ($0["path"]?.string ?? "").isEmpty
    }
    guard namespaces.contains(where: { $0["type"]?.string == "user" }) else { return }
    rootUid = Self.root(in: spec["linux", "uidMappings"])
    rootGid = Self.root(in: spec["linux", "gidMappings"])
  }

  /// What id 0 is mapped to. A mapping begins at `containerID` and goes on for `size`.
  private static func root(in mappings: JSONValue?) -> UInt32 {
    let mapping = mappings?.array?.first {
      $0["containerID"]?.integer ?? 0 == 0 && $0["size"]?.integer ?? 0 > 0
    }
    return mapping?["hostID"]?.integer.flatMap(UInt32.init(exactly:)) ?? 0
  }
}
