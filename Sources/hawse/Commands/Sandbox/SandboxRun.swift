import ArgumentParser
import ContainerdClient
import ShimManagement

struct SandboxRun: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Start a sandbox: a shim, and a first task that holds it.",
    discussion: """
      The sandbox runs until it is removed; tasks are attached to it with hawse task run.

      EXAMPLES
        hawse sandbox run --rootfs /srv/busybox pod1
        hawse sandbox run --rootfs /srv/busybox --host-network pod1 -- sleep infinity
        hawse sandbox run --runtime /usr/local/bin/containerd-shim-mine-v1 --config pod.json pod1
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var container: ContainerFlags
  @OptionGroup var runtimeFlags: RuntimeFlags

  @Option(
    help: ArgumentHelp("The shim: a runtime's name or a binary's absolute path.", valueName: "name")
  )
  var runtime = "io.containerd.runc.v2"

  @Flag(help: "Stay in the host's network.") var hostNetwork = false

  @Argument(help: "The sandbox's id.") var id: String
  @Argument(
    parsing: .postTerminator, help: "The first task's command (default: one that only waits).")
  var command: [String] = []

  func run() async throws {
    try await reporting(as: Failure.ofRun) {
      try await Session.run(options) { session in
        try await start(session)
      }
    }
  }

  private func start(_ session: Session) async throws {
    var args = command
    if args.isEmpty && container.config == nil { args = OCISpec.pauseArgs }
    var source = try SpecSource(
      container, id: id, namespace: options.namespace, args: args, terminal: false)
    SandboxMark.markSandbox(&source.spec, id: id)
    if hostNetwork { source.spec.useHostNetwork() }
    let manager = session.manager
    let packed = try runtimeFlags.packed(for: runtime, state: session.directory.state)
    let task = try await manager.start(
      .init(
        namespace: options.namespace, id: id, runtime: runtime, spec: source.spec.bytes(),
        options: packed))
    do {
      _ = try await task.create(
        TaskCreation(
          id: id, bundle: task.bundle.path, options: packed))
      try await task.start()
    } catch {
      await manager.abandon(task)
      throw error
    }
    await manager.release(task)
    if options.json {
      try Output.json(
        TaskReport(try await manager.report(namespace: options.namespace, id: id)))
    } else {
      print(id)
    }
  }
}
