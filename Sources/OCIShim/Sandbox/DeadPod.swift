internal import Glibc
internal import LinuxSystem
internal import ShimKit
internal import ShimProtocol

/// The containers that containerd attached to a sandbox whose shim is gone.
///
/// Daemons from 2.0 on attach them without running `start`, and up to 2.3 do not run `delete` for them
/// either: the sandbox's own `delete` is the last that this program hears of them.
struct DeadPod {
  let request: ShimDeleteRequest

  private static let sandboxes = "io.containerd.sandbox.controller.v1.shim"
  private static let tasks = "io.containerd.runtime.v2.task"

  /// Those that the shim noted; and those that lie where containerd has them, for shims that noted none.
  private var containers: [(id: String, bundle: String)] {
    let noted = AttachedContainers(bundle: request.bundle).all.compactMap {
      note -> (id: String, bundle: String)? in
      if Self.names(sandbox: request.id, note.bundle) { return (note.id, note.bundle) }
      // Its daemon was faster and removed the bundle, which is all that it can do: the container is
      // still there, and the note does for its bundle. A bundle of another sandbox is not ours.
      return access(note.bundle, F_OK) == 0 ? nil : (note.id, note.directory)
    }
    return noted + beside.filter { one in !noted.contains { $0.id == one.id } }
  }

  /// Their bundles, by containerd's layout: beside the sandboxes' directory is that of the tasks, and an
  /// attached task's bundle names its sandbox in a file. Empty for one that is no sandbox's.
  private var beside: [(id: String, bundle: String)] {
    let parts = request.bundle.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count > 3,
      parts.suffix(3) == [Self.sandboxes[...], request.namespace[...], request.id[...]]
    else { return [] }
    let state = parts.dropLast(3).joined(separator: "/")
    let directory = "\(state)/\(Self.tasks)/\(request.namespace)"
    // Without the directory, or without the file, there is nothing attached.
    guard let opened = try? OwnedDescriptor(opening: directory, O_RDONLY | O_DIRECTORY),
      let names = try? opened.names()
    else { return [] }
    return names.compactMap { name in
      let bundle = "\(directory)/\(name)"
      guard (try? Identifier.validate(name, as: .id)) != nil,
        Self.names(sandbox: request.id, bundle)
      else { return nil }
      return (name, bundle)
    }
  }

  /// Whether a bundle is that of a container of the sandbox: it may be another one's by now, or gone.
  private static func names(sandbox id: String, _ bundle: String) -> Bool {
    guard let sandbox = try? SmallFile.read("\(bundle)/sandbox", limit: 256) else { return false }
    return String(decoding: sandbox, as: UTF8.self) == id
  }

  /// How many are cleaned up at a time: runtimes are run for them.
  private static let width = 8
  /// A daemon waits 5 s for all of `delete`.
  static let limit = Duration.seconds(3)

  /// Ends what is left of them: their processes first of all, and then what they have left, of several
  /// at a time. What cannot be ended, or not in time, is said and hinders nothing else.
  func endContainers(
    within limit: Duration = limit,
    say: @escaping @Sendable (String) -> Void = DeadContainer.sayOnStandardError
  ) async {
    let deadline = ContinuousClock.now + limit
    var waiting = containers.map {
      (id: $0.id, bundle: $0.bundle, wasKilled: DeadContainer.kill(bundle: $0.bundle))
    }[...]
    await withTaskGroup(of: Void.self) { group in
      for container in waiting.prefix(Self.width) {
        group.addTask { await end(container, say: say) }
      }
      waiting = waiting.dropFirst(Self.width)
      while await group.next() != nil {
        guard ContinuousClock.now < deadline, let container = waiting.popFirst() else { continue }
        group.addTask { await end(container, say: say) }
      }
    }
    guard !waiting.isEmpty else { return }
    let names = waiting.prefix(10).map(\.id).joined(separator: ", ")
    say(
      "there was no time to clean up after \(waiting.count) containers of sandbox \(request.id), whose "
        + "processes are killed: \(names)\(waiting.count > 10 ? ", …" : "")")
  }

  private func end(
    _ container: (id: String, bundle: String, wasKilled: Bool),
    say: @escaping @Sendable (String) -> Void
  ) async {
    var request = request
    request.id = container.id
    request.bundle = container.bundle
    do {
      _ = try await DeadContainer(request, wasKilled: container.wasKilled, say: say).cleanUp()
    } catch {
      say("container \(container.id) of sandbox \(self.request.id) may be left: \(error)")
    }
  }
}
