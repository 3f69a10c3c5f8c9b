internal import TransportCore

extension RemoteDriver {
  /// When an endpoint is taken for ready.
  public enum Probe: String, Hashable, Sendable, CaseIterable {
    /// A connection came about.
    case transport
    /// And a call is answered, with whatever status.
    case ping
    /// And `SandboxStatus` is answered, by a peer that serves the Sandbox API.
    case status
  }

  /// Where a driver's sandboxes are. `{id}` and `{namespace}` stand for the sandbox's own.
  public struct Configuration: Hashable, Sendable {
    /// Where the endpoint is; nil: the request says so.
    public var address: String?
    /// What tasks are attached at, when that is not the same: a relay that containerd can dial,
    /// say.
    public var tasks: String?
    /// Of the task API that is served there.
    public var version: UInt32 = 3
    public var probe = Probe.ping
    /// How long an endpoint may take to be ready.
    public var ready: Duration = .seconds(30)
    /// How long an endpoint may be out of reach before its sandbox is taken to have ended; nil: for
    /// ever. One whose address refuses connections, or is not there any more, has ended at once.
    public var goneAfter: Duration? = .seconds(30)
    /// The bundle's path on the peer's side, for those that want one.
    public var bundle = ""
    /// Whether the request may name the address by its annotation
    /// ``RemoteDriver/addressAnnotation``. Who creates sandboxes says then where this program connects
    /// to.
    public var allowsAnnotations = false

    public init() {}
  }

  /// The annotation of a request that names the endpoint.
  public static let addressAnnotation = "io.hawsepipe.sandbox.address"
}

/// Where one sandbox is.
struct RemoteEndpoint: Hashable, Sendable {
  var address: TransportAddress
  var tasks: TransportAddress
  var version: UInt32

  /// The form that containerd divides at the first plus sign.
  ///
  /// Of the parameters it has those that an address may have which is received: the others are this
  /// process's own files and ways, and whoever is told the address would refuse it for them.
  var taskAddress: String {
    var told = tasks
    told.parameters = tasks.parameters.filter { parameter in
      var one = tasks
      one.parameters = [parameter]
      // Only whether it is refused matters.
      return (try? TransportAddress(parsing: one.text, origin: .received)) != nil
    }
    return "\((told.rpc ?? .ttrpc).rawValue)+\(told.shimAddress)"
  }
}
