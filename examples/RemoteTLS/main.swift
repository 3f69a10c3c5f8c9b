// Attaches a task to a sandbox whose shim is reached by TLS, runs it, and says who was at the other
// end: what a program does that tests a remote host.
//
//   remote-tls ADDRESS PROFILE ROOTFS STATE COMMAND…
//
// ADDRESS is the shim's (`ttrpc+tls://10.77.0.2:9443`), PROFILE the client's TLS profile, ROOTFS a
// directory with a root file system, STATE a directory for bundles. Run it by examples/RemoteTLS/run,
// which makes all of them.

import ContainerdClient
import Glibc
import Hawsepipe
import NIOCore
import ShimManagement
import TLSTransport
import TransportCore

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count >= 5 else {
  print("usage: remote-tls ADDRESS PROFILE ROOTFS STATE COMMAND…")
  exit(64)
}
let (profile, rootfs, state) = (arguments[1], arguments[2], arguments[3])

// Every transport, TLS with this client's own certificate.
var registry = TransportRegistry.standard
registry.register(try TLSLayer(profile: profile))
let address = try registry.parse(arguments[0])

// Who is there, before anything is made.
let connection = try await registry.connect(to: address) { _ in }
print("peer: \(connection.peer)")
for timing in connection.timings { print("  \(timing.phase.rawValue): \(timing.duration)") }
try await connection.channel.close()

let manager = try ShimManager(
  ShimManager.Configuration(
    directory: StateDirectory(state: "\(state)/run", root: "\(state)/lib"), registry: registry))
let id = "remote"
var spec = try OCISpec.standard(
  id: id, namespace: "default", args: Array(arguments[4...]), env: [], cwd: "/", terminal: false,
  user: OCIUser(), hostname: nil)
spec.rootPath = rootfs
let output = "\(state)/output"
let task = try await manager.attach(
  .init(
    namespace: "default", id: id, sandboxID: "pod1", mode: .version2,
    endpoint: SandboxEndpoint(address: address, version: 2), spec: spec.bytes()))
do {
  _ = try await task.create(
    TaskCreation(
      id: id, bundle: task.bundle.path,
      streams: StreamLocations(
        standardOutput: "file://\(output)", standardError: "file://\(output)")))
  _ = try await task.start()
  let end = try await task.wait()
  try await manager.delete(task)
  await manager.settle()
  print("task ended with \(end.status), joined in \(task.joinDuration)")
  exit(Int32(truncatingIfNeeded: end.status))
} catch {
  // Whatever failed: the task goes, the sandbox stays.
  await manager.abandon(task)
  await manager.settle()
  print("\(error)")
  exit(1)
}
