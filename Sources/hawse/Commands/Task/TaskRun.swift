import ArgumentParser
import ContainerdClient
import Glibc
import ShimManagement
import TransportCore

struct TaskRun: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Attach a task to a sandbox that runs, and run it.",
    discussion: """
      Without --sandbox the task gets a shim of its own. With it, --attach says how it joins: v3 and \
      v2 attach to an endpoint of that version (a version 2 endpoint promises nothing: its shim must \
      group tasks, as containerd's runc shim does); binary runs the shim binary, as containerd does, \
      and sees whether it answers with the sandbox's shim. The default, auto, attaches by the version \
      that the sandbox's bootstrap parameters say, and to version 2 only if runc's shim serves it.

      EXAMPLES
        hawse task run --sandbox pod1 --rootfs /srv/busybox -- echo hello
        hawse task run --sandbox pod1 --rootfs /srv/busybox --tty --interactive -- sh
        hawse task run --sandbox pod1 --rootfs /srv/busybox --detach --id web -- httpd -f
        hawse task run --sandbox vm7 --address ttrpc+unix:///run/vm7.sock --api-version 3 \\
            --config web.json

      EXIT STATUS
        The task's own; 125 when hawse could not run it.
      """)

  @OptionGroup var options: GlobalOptions
  @OptionGroup var container: ContainerFlags
  @OptionGroup var runtimeFlags: RuntimeFlags

  @Option(help: ArgumentHelp("The sandbox to attach to.", valueName: "id")) var sandbox: String?
  @Option(help: "How to join the sandbox: auto, v3, v2, binary.") var attach = AttachChoice.auto

  @Option(
    help: ArgumentHelp("Where the sandbox's shim listens, if not as its bundle says."))
  var address: String?

  @Option(help: ArgumentHelp("The version of the task API at --address.", valueName: "2|3"))
  var apiVersion: Int?

  @Option(help: ArgumentHelp("The task's id (default: one that is free).", valueName: "id"))
  var id: String?

  @Option(
    help: ArgumentHelp("The shim of a task without a sandbox.", valueName: "name"))
  var runtime = "io.containerd.runc.v2"

  @Flag(name: [.short, .long], help: "Give the task a terminal.") var tty = false
  @Flag(name: [.short, .long], help: "Pass standard input on.") var interactive = false
  @Flag(name: [.short, .long], help: "Leave the task running, and print its id.") var detach = false

  @Option(
    help: ArgumentHelp("With --detach: the file that takes the output.", valueName: "file"))
  var log: String?

  @Flag(help: "Do not remove the task when it has ended.") var keep = false
  @Flag(help: "Do not share the sandbox's network, ipc and host name.") var ownNamespaces = false

  @Argument(parsing: .postTerminator, help: "The command.") var command: [String] = []

  enum AttachChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, v3, v2, binary

    var mode: AttachMode? { AttachMode(rawValue: rawValue) }
  }

  func validate() throws {
    if address != nil && (sandbox == nil || apiVersion == nil) {
      throw ValidationError("--address needs --sandbox and --api-version.")
    }
    if apiVersion != nil && address == nil {
      throw ValidationError("--api-version says of which version the shim at --address is.")
    }
    if detach && (tty || interactive) {
      throw ValidationError("--detach leaves nobody to hold a terminal or an input.")
    }
    if log != nil && !detach { throw ValidationError("--log is for --detach.") }
  }

  func run() async throws {
    try await reporting(as: Failure.ofRun) {
      let status = try await Session.run(options) { session in
        try await run(session)
      }
      if status != 0 { throw ExitCode(status) }
    }
  }

  private func run(_ session: Session) async throws -> Int32 {
    let terminal = try openTerminal()
    let id = id ?? Self.freshID()
    var source = try SpecSource(
      container, id: id, namespace: options.namespace, args: command, terminal: tty)
    let join = TaskJoin(session: session, command: self, id: id)
    let (task, packed) = try await join.join(&source.spec)
    var streams: StandardStreams?
    do {
      var locations = StreamLocations(
        standardOutput: log.map(Self.logURL), standardError: log.map(Self.logURL))
      if !detach {
        let opened = try StandardStreams(
          .inherited(input: interactive, terminal: tty), in: task.bundle.path, named: "io")
        streams = opened
        locations = opened.locations
      }
      _ = try await task.create(
        TaskCreation(
          id: id, bundle: task.bundle.path, streams: locations, options: packed))
      if let streams {
        let exit = try await Foreground(
          task: task, streams: streams, terminal: terminal, logger: session.logger
        ).run()
        if keep { await session.manager.release(task) } else { try await finish(task, session) }
        return Int32(truncatingIfNeeded: exit.status)
      }
      try await task.start()
      try await announce(task, session)
      await session.manager.release(task)
      return 0
    } catch {
      _ = await streams?.finish(within: .zero)
      await session.manager.abandon(task)
      throw error
    }
  }

  private func finish(_ task: ShimTask, _ session: Session) async throws {
    try await session.manager.delete(task)
  }

  private func announce(_ task: ShimTask, _ session: Session) async throws {
    if options.json {
      try Output.json(
        TaskReport(try await session.manager.report(namespace: options.namespace, id: task.id)))
    } else {
      print(task.id)
    }
  }

  private func openTerminal() throws -> Terminal? {
    guard tty else { return nil }
    guard let terminal = Terminal(STDIN_FILENO) else {
      throw ContainerdClientError(
        .terminalUnusable, "--tty was asked for, but standard input is not a terminal")
    }
    return terminal
  }

  private static func freshID() -> String {
    let digits = "abcdefghijklmnopqrstuvwxyz0123456789"
    return "task-" + String((0..<10).compactMap { _ in digits.randomElement() })
  }

  private static func logURL(_ path: String) -> String {
    let directory = path.hasPrefix("/") ? "" : currentDirectory() + "/"
    return "file://\(directory)\(path)"
  }

  private static func currentDirectory() -> String {
    guard let path = getcwd(nil, 0) else { return "" }
    defer { free(path) }
    return String(cString: path)
  }
}
