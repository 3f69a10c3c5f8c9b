import Glibc
import HybridVsockTransport
import LinuxSystem
import NIOCore
import ProcessSupervision
import Testing
import TransportCore

/// A guest in which our shim runs containers by runc, as a sandbox does that is a virtual machine: it has
/// cgroup v2 and nothing else, and is reached by hybrid vsock.
///
/// The containers' bundles are there already, at the paths that they have on the host: that is what a
/// shared file system would see to.
struct PodGuest: Sendable {
  /// Of the shim that serves the sandbox ``sandbox``.
  static let shimPort: UInt32 = 1024
  /// Of Go's shim over gRPC: see Peers/sandbox.
  static let grpcPort: UInt32 = 1030
  static let sandbox = "vmpod"
  /// Of the host, where Go's client in the guest calls a server of ours.
  static let hostPort: UInt32 = 5001

  let machine: VirtualMachine

  /// Where our shim is.
  var shim: TransportAddress {
    TransportAddress(
      rpc: .ttrpc, place: .hybridVsock(path: machine.socket, port: Self.shimPort))
  }

  /// Where Go's shim is.
  var goShim: TransportAddress {
    TransportAddress(
      rpc: .grpc, place: .hybridVsock(path: machine.socket, port: Self.grpcPort))
  }

  /// Where the host listens for the guest's connections to ``hostPort``.
  static func host(
    _ machine: VirtualMachine, _ rpc: TransportAddress.RPCProtocol
  ) -> TransportAddress {
    TransportAddress(
      rpc: rpc, place: .hybridVsock(path: machine.socket, port: hostPort + (rpc == .grpc ? 0 : 1)))
  }

  /// A container that is made of its bundle in the guest.
  struct Container: Sendable {
    var id: String
    /// The same on the host and in the guest.
    var bundle: String
    var command: String
    /// In bytes; nil for none.
    var memoryLimit: Int?

    var specification: String {
      let limit =
        memoryLimit.map { #","resources":{"memory":{"limit":\#($0),"swap":\#($0)}}"# } ?? ""
      let namespaces = ["pid", "ipc", "uts", "mount", "network", "cgroup"]
        .map { #"{"type":"\#($0)"}"# }.joined(separator: ",")
      return """
        {"ociVersion":"1.0.2","hostname":"\(id)","process":{"user":{"uid":0,"gid":0},\
        "args":["/bin/busybox","sh","-c","\(command)"],"env":["PATH=/bin"],"cwd":"/"},\
        "root":{"path":"/rootfs"},\
        "mounts":[{"destination":"/proc","type":"proc","source":"proc"}],\
        "linux":{"cgroupsPath":"/pods/\(id)","namespaces":[\(namespaces)]\(limit)}}
        """
    }
  }

  /// Runs a body with a guest that has these containers' bundles, and ends it.
  ///
  /// - Parameters:
  ///   - script: more of the guest's, run beside our shim; with it the guest goes on without our shim.
  ///   - prepare: called before the guest is started.
  static func use(
    _ containers: [Container], script: String? = nil,
    before prepare: (VirtualMachine) async throws -> Void = { _ in },
    _ body: (PodGuest) async throws -> Void
  ) async throws {
    try RealPeers.require()
    let peer = "\(try await TTRPCPeer.folder())/sandbox-peer"
    let shim = try await InstalledShim.made()
    try await VirtualMachines.use(
      cids: [44],
      adding: { try await fill($0, shim: shim, peer: peer, containers, script) }
    ) { machines in
      let guest = PodGuest(machine: machines.machines[0])
      try await prepare(guest.machine)
      try await machines.startDevices()
      try guest.machine.start()
      try await guest.machine.said("ready", within: .seconds(240))
      for port in [shimPort, grpcPort] {
        try await guest.untilListening(at: port, within: .seconds(120))
      }
      try await body(guest)
    }
  }

  /// What serves in the guest has been started, and has no other way to say that it listens.
  private func untilListening(at port: UInt32, within limit: Duration) async throws {
    let connection = try await HybridVsockConnector().connect(
      to: TransportAddress(place: .hybridVsock(path: machine.socket, port: port)),
      options: ConnectOptions(timeout: limit, mode: .waitUntilReady())
    ) { _ in }
    // It was only to be there. A channel that is closed already is what is wanted.
    try? await connection.channel.close().get()
  }

  /// Makes what is added to the guest's initial file system.
  private static func fill(
    _ tree: String, shim: String, peer: String, _ containers: [Container], _ beside: String?
  ) async throws {
    let vm = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Peers/vm"
    let script = """
      set -eu
      mkdir -p bin lib64 rootfs/bin rootfs/proc rootfs/dev rootfs/sys rootfs/tmp
      cp "$1/pod-init" init
      cp "$2" bin/containerd-shim-hawsepipe-v1
      strip --strip-all -o bin/sandbox-peer "$3"
      cp /usr/sbin/runc bin/
      cp /bin/busybox rootfs/bin/
      # Our shim needs none; runc's libraries keep their paths.
      ldd /usr/sbin/runc | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p ".${library%/*}"
        cp -L "$library" ".$library"
      done
      """
    let made = try await Command(
      "/bin/sh", arguments: ["-c", script, "sh", vm, shim, peer],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], directory: tree
    ).run(timeout: .seconds(60))
    try #require(
      made.status.isSuccess, "\(String(decoding: made.standardError, as: UTF8.self))")
    for container in containers {
      try write("\(tree)\(container.bundle)/config.json", container.specification)
    }
    try write(
      "\(tree)/start",
      """
      sandbox-peer events unix:/run/c.sock.ttrpc &
      mkdir -p /run/\(sandbox) && cd /run/\(sandbox)
      echo '{"ociVersion":"1.0.2"}' >config.json
      export TTRPC_ADDRESS=/run/c.sock.ttrpc HAWSEPIPE_SHIM_LISTEN=vsock://any:\(shimPort)
      containerd-shim-hawsepipe-v1 -namespace default -id \(sandbox) -address /run/c.sock start
      echo
      sandbox-peer serve grpc vsock:\(grpcPort) &
      \(beside ?? "")
      echo "guest: ready"
      while pidof containerd-shim-hawsepipe-v1 >/dev/null; do sleep 1; done
      echo "guest: our shim is gone"
      \(beside == nil ? "" : "sleep 10000")

      """)
  }

  private static func write(_ path: String, _ text: String) throws {
    var folder = ""
    for name in path.split(separator: "/").dropLast() {
      folder += "/\(name)"
      mkdir(folder, 0o755)
    }
    try OwnedDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
      .write(Array(text.utf8))
  }
}
