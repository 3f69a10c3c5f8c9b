/// Who is at the other end of a connection, as far as the transport can prove it.
///
/// Each facet is there only when a transport established it: layers combine, so a TLS connection
/// over a unix socket has two.
public struct PeerIdentity: Sendable, Hashable {
  /// What the kernel says of the process at the other end of a unix socket, as of its
  /// connect(2) or listen(2) (SO_PEERCRED).
  public struct UnixProcess: Sendable, Hashable {
    public var pid: Int32
    public var uid: UInt32
    public var gid: UInt32

    public init(pid: Int32, uid: UInt32, gid: UInt32) {
      self.pid = pid
      self.uid = uid
      self.gid = gid
    }
  }

  /// The other end of an AF_VSOCK connection. A CID names a VM (2 is the host, 1 the machine itself)
  /// and may go to another one when its VM is gone. Linux lets only a privileged process *bind* a
  /// port below 1024.
  public struct VsockEndpoint: Sendable, Hashable {
    public var cid: UInt32
    public var port: UInt32

    public init(cid: UInt32, port: UInt32) {
      self.cid = cid
      self.port = port
    }
  }

  /// The process that serves a hybrid vsock socket: a VMM, or the daemon of its vsock device. It is
  /// **not** the guest: whoever runs in the VM is behind it, and nothing here tells who that is.
  public struct VirtualMachineMonitor: Sendable, Hashable {
    public var process: UnixProcess
    /// The number of the `OK <n>` line: the host's port that the VMM assigned (Firecracker, Cloud
    /// Hypervisor, Dragonball), or the guest's port said again (vhost-device-vsock). `nil` when the
    /// guest dialled: then nothing is said.
    public var assignedPort: UInt32?

    public init(process: UnixProcess, assignedPort: UInt32? = nil) {
      self.process = process
      self.assignedPort = assignedPort
    }
  }

  /// The other end of a TCP connection, which proves nothing of who is there.
  public struct NetworkEndpoint: Sendable, Hashable {
    /// An IPv4 or IPv6 literal, without brackets; with the zone (`%eth0`) of a link-local one.
    public var host: String
    public var port: UInt16
    public var isLoopback: Bool

    public init(host: String, port: UInt16, isLoopback: Bool) {
      self.host = host
      self.port = port
      self.isLoopback = isLoopback
    }
  }

  /// The process whose standard input and output the connection is.
  public struct ChildCommand: Sendable, Hashable {
    public var pid: Int32

    public init(pid: Int32) { self.pid = pid }
  }

  public var unix: UnixProcess?
  public var vsock: VsockEndpoint?
  public var monitor: VirtualMachineMonitor?
  public var network: NetworkEndpoint?
  public var tls: TLSIdentity?
  public var command: ChildCommand?
  /// The peer is in this very process.
  public var isThisProcess: Bool

  public init(
    unix: UnixProcess? = nil, vsock: VsockEndpoint? = nil,
    monitor: VirtualMachineMonitor? = nil, network: NetworkEndpoint? = nil,
    tls: TLSIdentity? = nil, command: ChildCommand? = nil, isThisProcess: Bool = false
  ) {
    self.unix = unix
    self.vsock = vsock
    self.monitor = monitor
    self.network = network
    self.tls = tls
    self.command = command
    self.isThisProcess = isThisProcess
  }
}

extension PeerIdentity.UnixProcess: CustomStringConvertible {
  public var description: String { "pid \(pid), uid \(uid), gid \(gid)" }
}

extension PeerIdentity: CustomStringConvertible {
  public var description: String {
    var facets: [String] = []
    if let unix { facets.append("\(unix)") }
    if let vsock { facets.append("cid \(vsock.cid), port \(vsock.port)") }
    if let monitor { facets.append("VMM \(monitor.process)") }
    if let network {
      let isIPv6 = network.host.utf8.contains(UInt8(ascii: ":"))
      facets.append(
        isIPv6 ? "[\(network.host)]:\(network.port)" : "\(network.host):\(network.port)")
    }
    if let command { facets.append("child pid \(command.pid)") }
    if isThisProcess { facets.append("this process") }
    if let tls { facets.append("\(tls)") }
    return facets.isEmpty ? "unidentified peer" : facets.joined(separator: "; ")
  }
}
