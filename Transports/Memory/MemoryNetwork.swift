internal import Synchronization

/// A namespace of its own for `memory://name`: what listens in one network is not found in another.
///
/// A connection is a pair of connected unix sockets, so that it has what real ones have: the
/// kernel's buffers, which push back, half-close, and any event loop at either end. The socket that
/// takes connections has a random abstract name, which only the network knows; who finds it out from
/// another process is told apart by its process id.
public final class MemoryNetwork: Sendable {
  /// The network of ``MemoryConnector`` and ``MemoryListenerFactory`` that are not given another.
  public static let shared = MemoryNetwork()

  /// The names that are listened at, and the abstract name of each one's socket.
  private let sockets = Mutex<[String: String]>([:])

  public init() {}

  /// The names that are listened at now, sorted.
  public var names: [String] { sockets.withLock { $0.keys.sorted() } }

  func socket(of name: String) -> String? { sockets.withLock { $0[name] } }

  /// `false`: the name is taken.
  func claim(_ name: String, for socket: String) -> Bool {
    sockets.withLock { sockets in
      guard sockets[name] == nil else { return false }
      sockets[name] = socket
      return true
    }
  }

  func release(_ name: String) { sockets.withLock { _ = $0.removeValue(forKey: name) } }
}
