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

struct Failure: Error, CustomStringConvertible {
  var description: String
}

@main
enum PodSandbox {
  static let pod = "pod1"

  static func main() async throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    guard arguments.count == 4 else {
      print("usage: pod-sandbox SHIM NETNS ROOTFS STATE")
      exit(64)
    }
    do {
      try await run(arguments[0], network: arguments[1], rootfs: arguments[2], state: arguments[3])
    } catch {
      print("\(error)")
      exit(1)
    }
  }

  private static func run(
    _ shim: String, network: String, rootfs: String, state: String
  ) async throws {
    let bundle = "\(state)/\(pod)"
    mkdir(bundle, 0o700)

    let parameters = try await start(shim, in: bundle, state: state)
    let address = try TransportRegistry.standard.parse(
      "\(parameters.protocolName)+\(parameters.address)")
    print("the pod's shim serves at \(address)")
    let failure = try await withTTRPCClient(to: address, using: .standard) { client in
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

      let failure = await runContainers(
        Containers(
          manager: try ShimManager(
            ShimManager.Configuration(
              directory: StateDirectory(state: "\(state)/run", root: "\(state)/lib"),
              registry: .standard)),
          endpoint: SandboxEndpoint(address: address, version: 3), holder: holder, rootfs: rootfs,
          state: state))

      // Whatever became of them: the pod goes, too.
      _ = try await sandboxes.stopSandbox(.with { $0.sandboxID = pod })
      let end = try await sandboxes.waitSandbox(.with { $0.sandboxID = pod })
      print("\(pod) has ended with \(end.exitStatus)")
      _ = try await sandboxes.shutdownSandbox(.with { $0.sandboxID = pod })
      return failure
    }
    if let failure { throw failure }
  }

  /// What containerd does: it runs the shim's `start` in the sandbox's bundle, and reads where it
  /// serves.
  private static func start(
    _ shim: String, in bundle: String, state: String
  ) async throws -> BootstrapParams {
    let started = try await Command(
      shim, arguments: ["-namespace", "default", "-address", "\(state)/none", "-id", pod, "start"],
      environment: [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "MAX_SHIM_VERSION=2",
        "TTRPC_ADDRESS=\(state)/no-events",
      ], directory: bundle
    ).run(timeout: .seconds(30))
    guard started.status.isSuccess else {
      throw Failure(description: String(decoding: started.standardError, as: UTF8.self))
    }
    return try BootstrapReply(started.standardOutput).params
  }

  private static func runContainers(_ containers: Containers) async -> (any Error)? {
    var failure: (any Error)?
    do {
      // It serves until it is told to end; the other one finds it on the pod's own loopback.
      _ = try await containers.run(
        "web", "echo hello from the pod > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
      ) { web in
        let page = try await containers.run(
          "reader", "until wget -q -O - http://127.0.0.1:8080/; do usleep 50000; done")
        print("reader got: \(page)", terminator: "")
        try await web.client.kill(web.id, signal: UInt32(SIGKILL))
      }
    } catch {
      failure = error
    }
    await containers.manager.settle()
    return failure
  }
}

/// Runs containers of one pod, attached to its shim.
private struct Containers: Sendable {
  var manager: ShimManager
  var endpoint: SandboxEndpoint
  /// The process whose namespaces they join.
  var holder: Int32
  var rootfs: String
  var state: String

  /// Runs a container to its end, and removes it.
  ///
  /// - Parameter body: runs meanwhile.
  /// - Returns: what it printed.
  func run(
    _ id: String, _ script: String, _ body: (ShimTask) async throws -> Void = { _ in }
  ) async throws -> String {
    var spec = try OCISpec.standard(
      id: id, namespace: "default", args: ["sh", "-c", script], env: [], cwd: "/", terminal: false,
      user: OCIUser(), hostname: nil)
    spec.rootPath = rootfs
    try spec.joinNamespaces(of: holder)
    let task = try await manager.attach(
      .init(
        namespace: "default", id: id, sandboxID: PodSandbox.pod, mode: .version3,
        endpoint: endpoint, spec: spec.bytes()))
    do {
      let streams = try StandardStreams(
        StreamPlan(output: .memory(limit: 1 << 20), error: .memory(limit: 1 << 20)), in: state,
        named: "\(id).streams")
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
}
