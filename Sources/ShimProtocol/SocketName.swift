/// Where a shim listens, by what it is for (containerd `pkg/shim`, `SocketAddress`).
public enum SocketName {
  /// Where the sockets are, on Linux.
  public static let defaultDirectory = "/run/containerd/s"

  /// The address of a shim's socket: `unix://<directory>/<64 hexadecimal digits>`, a hash of the
  /// daemon's gRPC address, the namespace and the id.
  ///
  /// - Parameter debug: The socket of the shim's debug service instead.
  public static func address(
    daemonAddress: String, namespace: String, id: String, debug: Bool = false,
    directory: String = defaultDirectory
  ) -> String {
    let path = join([daemonAddress, namespace, id] + (debug ? ["debug"] : []))
    return "unix://\(join([directory, SHA256.hexadecimal(path)]))"
  }

  /// Abstract names that older shims listened on, newest first, for reading old bundles: those of
  /// containerd before 1.3.9 and 1.4.3, and of runtime v1 before that. Without the NUL in front.
  public static func legacyAbstractNames(namespace: String, id: String) -> [String] {
    [
      join(["/", "containerd-shim", "\(SHA256.hexadecimal(join([namespace, id]))).sock"]),
      join(["/", "containerd-shim", namespace, id, "shim.sock"]),
    ]
  }

  /// What Go's `path.Join` does, which is part of the hash: empty elements are skipped, the others
  /// joined by slashes, and the whole cleaned.
  static func join(_ elements: [String]) -> String {
    let filled = elements.filter { !$0.isEmpty }
    return filled.isEmpty ? "" : clean(filled.joined(separator: "/"))
  }

  /// Go's `path.Clean`: no doubled slashes, no `.`, and `..` taken with what stands before it.
  private static func clean(_ path: String) -> String {
    let rooted = path.hasPrefix("/")
    var kept: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part != ".." {
        kept.append(part)
      } else if let last = kept.last, last != ".." {
        kept.removeLast()
      } else if !rooted {
        kept.append(part)
      }
    }
    let joined = kept.joined(separator: "/")
    return rooted ? "/" + joined : joined.isEmpty ? "." : joined
  }
}
