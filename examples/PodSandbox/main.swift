// A pod without a pause image: a sandbox on a shim that serves containerd's Sandbox API, and containers
// that are attached to it through its bootstrap parameters.
//
//   pod-sandbox SHIM NETNS ROOTFS STATE
//
// SHIM is the shim's program, NETNS a network namespace that somebody has made for the pod, ROOTFS a
// directory with a root file system, STATE a directory for bundles. Run it by examples/PodSandbox/run,
// which makes all of them.

import ContainerdAPI
import ContainerdClient
import Glibc
import Hawsepipe
import ProcessSupervision
import ShimManagement
import ShimProtocol
import SwiftProtobuf
import TTRPC
import TransportCore

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 4 else {
  print("usage: pod-sandbox SHIM NETNS ROOTFS STATE")
  exit(64)
}
let (shim, network, rootfs, state) = (arguments[0], arguments[1], arguments[2], arguments[3])
let pod = "pod1"
let bundle = "\(state)/\(pod)"
mkdir(bundle, 0o700)

/// One container of the pod: attached, run to its end or until `body` returns, and removed.
func container(
  _ id: String, _ script: String, in manager: ShimManager, at endpoint: SandboxEndpoint,
  joining holder: Int32, _ body: @Sendable (ShimTask) async throws -> Void
) async throws -> String {
  var spec = try OCISpec.standard(
    id: id, namespace: "default", args: ["sh", "-c", script], env: [], cwd: "/", terminal: false,
    user: OCIUser(), hostname: nil)
  spec.rootPath = rootfs
  try spec.joinNamespaces(of: holder, [.network, .ipc, .uts])
  let task = try await manager.attach(
    .init(
      namespace: "default", id: id, sandboxID: pod, mode: .version3, endpoint: endpoint,
      spec: spec.bytes()))
  do {
    let streams = try StandardStreams(
      StreamPlan(output: .memory(limit: 1 << 20), error: .memory(limit: 1 << 20)),
      in: state, named: "\(id).streams")
    _ = try await task.create(
      TaskCreation(id: id, bundle: task.bundle.path, streams: streams.locations))
    try await task.start()
    try await body(task)
    let end = try await task.wait()
    let output = await streams.finish(within: .seconds(10)).output?.bytes ?? []
    try await manager.delete(task)
    print("container \(id) ended with \(end.status)")
    return String(decoding: output, as: UTF8.self)
  } catch {
    // Whatever failed: the container goes, the pod stays.
    await manager.abandon(task)
    throw error
  }
}

// What containerd does: it runs the shim's `start` in the sandbox's bundle, and reads where it serves.
func start() async throws -> BootstrapParams {
  let started = try await Command(
    shim, arguments: ["-namespace", "default", "-address", "\(state)/none", "-id", pod, "start"],
    environment: [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "MAX_SHIM_VERSION=2",
      "TTRPC_ADDRESS=\(state)/no-events",
    ], directory: bundle
  ).run(timeout: .seconds(30))
  guard started.status.isSuccess else {
    print(String(decoding: started.standardError, as: UTF8.self))
    exit(1)
  }
  return try BootstrapReply(started.standardOutput).params
}

let address = try TransportRegistry.standard.parse(try await start().address)
print("the pod's shim serves at \(address)")

try await withTTRPCClient(to: address, using: .standard) { client in
  let sandboxes = Containerd_Runtime_Sandbox_V1_SandboxClient(caller: client)
  _ = try await sandboxes.createSandbox(
    .with {
      $0.sandboxID = pod
      $0.bundlePath = bundle
      $0.netnsPath = network
    })
  let holder = Int32(try await sandboxes.startSandbox(.with { $0.sandboxID = pod }).pid)
  let status = try await sandboxes.sandboxStatus(.with { $0.sandboxID = pod })
  print("\(pod) is \(status.state); process \(holder) holds its namespaces")

  let manager = try ShimManager(
    ShimManager.Configuration(
      directory: StateDirectory(state: "\(state)/run", root: "\(state)/lib"), registry: .standard))
  let endpoint = SandboxEndpoint(address: address, version: 3)
  do {
    // It serves until it is told to end; the other one finds it on the pod's own loopback.
    _ = try await container(
      "web", "echo hello from the pod > /tmp/index.html; exec httpd -f -p 8080 -h /tmp",
      in: manager, at: endpoint, joining: holder
    ) { web in
      let page = try await container(
        "reader", "until wget -q -O - http://127.0.0.1:8080/; do usleep 50000; done",
        in: manager, at: endpoint, joining: holder) { _ in }
      print("reader got: \(page)", terminator: "")
      try await web.client.kill(web.id, signal: UInt32(SIGKILL))
    }
  } catch {
    print("\(error)")
  }
  await manager.settle()

  _ = try await sandboxes.stopSandbox(.with { $0.sandboxID = pod })
  let end = try await sandboxes.waitSandbox(.with { $0.sandboxID = pod })
  print("\(pod) has ended with \(end.exitStatus)")
  _ = try await sandboxes.shutdownSandbox(.with { $0.sandboxID = pod })
}
