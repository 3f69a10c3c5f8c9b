internal import JSON

/// An entry of `linux.namespaces`: a namespace of the container's own, or one that it joins.
public struct OCINamespace: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    case pid, network, ipc, uts, mount, user, cgroup, time

    /// The name below `/proc/<pid>/ns`.
    var fileName: String {
      switch self {
      case .network: "net"
      case .mount: "mnt"
      default: rawValue
      }
    }
  }

  public var kind: Kind
  /// The namespace's file if the container joins one.
  public var path: String?

  public init(_ kind: Kind, path: String? = nil) {
    self.kind = kind
    self.path = path
  }
}

extension OCISpec {
  /// The entries of `linux.namespaces` whose kind is known here.
  public var namespaces: [OCINamespace] {
    get {
      (document["linux", "namespaces"]?.array ?? []).compactMap { entry in
        guard let kind = entry["type"]?.string.flatMap(OCINamespace.Kind.init) else { return nil }
        return OCINamespace(kind, path: entry["path"]?.string)
      }
    }
    set {
      document["linux", "namespaces"] = .array(
        newValue.map { namespace in
          var entry: JSONValue = ["type": .string(namespace.kind.rawValue)]
          entry["path"] = namespace.path.map(JSONValue.string)
          return entry
        })
    }
  }

  /// Makes the container share namespaces with a process, such as its sandbox's.
  ///
  /// With `uts` the host name goes: the sandbox has one, which runc would otherwise overwrite.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidSpec` for a pid that is none.
  public mutating func joinNamespaces(
    of pid: Int32, _ kinds: [OCINamespace.Kind] = [.network, .ipc, .uts]
  ) throws(ShimManagementError) {
    guard pid > 0 else {
      throw Self.invalid("there are no namespaces of process \(pid) to join")
    }
    for kind in kinds {
      replaceNamespace(OCINamespace(kind, path: "/proc/\(pid)/ns/\(kind.fileName)"))
    }
    if kinds.contains(.uts) { hostname = nil }
  }

  /// Leaves the container in the host's network.
  public mutating func useHostNetwork() {
    namespaces.removeAll { $0.kind == .network }
  }

  private mutating func replaceNamespace(_ namespace: OCINamespace) {
    var all = namespaces
    if let index = all.firstIndex(where: { $0.kind == namespace.kind }) {
      all[index] = namespace
    } else {
      all.append(namespace)
    }
    namespaces = all
  }

  /// Adds a mount after those that are there.
  public mutating func addMount(_ mount: OCIMount) {
    document["mounts"] = .array((document["mounts"]?.array ?? []) + [mount.json])
  }
}
