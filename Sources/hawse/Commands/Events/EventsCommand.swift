import ArgumentParser
import ContainerdAPI
import RPCCore
import SwiftProtobuf
import TransportCore

struct EventsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Print containerd's events as they happen.",
    discussion: """
      Subscribes to containerd.services.events.v1.Events, and prints each event in a line: its \
      time, its namespace, its topic and what it holds. It goes on until a signal ends it, or the \
      server.

      --filter is containerd's: namespace==NAME, topic=="/tasks/exit", topic~=EXPRESSION, and \
      several of them with a comma between; an event is printed when one --filter lets it through. \
      A value that begins with a slash has to stand in double quotation marks.

      EXAMPLES
        hawse events
        hawse events --namespace k8s.io --json
        hawse events --filter 'topic~=/sandboxes/' --address grpc+unix:///run/k3s/containerd.sock
        hawse events --address grpc+unix:///run/hawsepipe/control/grpc.sock

      EXIT STATUS
        0 when a signal ended it, 1 when it could not subscribe or the server went away, 64 when \
        the command line was wrong.
      """)

  @OptionGroup var connection: ClientFlags

  @Option(help: ArgumentHelp("Where the events service is.", valueName: "address"))
  var address = "grpc+unix:///run/containerd/containerd.sock"

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Print this namespace's events (default: all).", valueName: "name"))
  var namespace: String?

  @Option(
    help: ArgumentHelp("Print what this lets through; may be repeated.", valueName: "filter"))
  var filter: [String] = []

  @Flag(help: "Print JSON, an object a line.") var json = false

  func run() async throws {
    try await reporting {
      let command = self
      let work = try Signals.shared.taskToCancel { try await command.follow() }
      do {
        try await work.value
      } catch let error as RPCError where error.reason == .cancelled {
        return  // A signal did it.
      } catch is CancellationError {
        return
      }
    }
  }

  /// The namespace is a part of every filter: containerd prints what one of them lets through.
  private var filters: [String] {
    guard let namespace else { return filter }
    let mine = "namespace==\(namespace)"
    return filter.isEmpty ? [mine] : filter.map { "\(mine),\($0)" }
  }

  private func follow() async throws {
    let client = try await connection.client(to: address)
    let line = RPCLine(client)
    let outcome: Result<Void, any Error>
    do {
      var options = RPCCallOptions()
      options.metadata["containerd-namespace"] = namespace ?? "default"
      let events = try await Containerd_Services_Events_V1_EventsClient(caller: line)
        .subscribe(.with { $0.filters = filters }, options: options)
      for try await event in events { try show(event) }
      guard Task.isCancelled else {
        throw RPCError(
          code: .unavailable, message: "the server ended the events", reason: .connectionClosed)
      }
      outcome = .success(())
    } catch {
      outcome = .failure(error)
    }
    await client.close()
    try outcome.get()
  }

  private func show(_ event: Containerd_Types_Envelope) throws {
    if json {
      Output.line(try MessageJSON.json(event).compact)
    } else {
      let held = event.hasEvent ? MessageJSON.json(event.event).compact : ""
      let time = SandboxAccess.text(event.timestamp)
      Output.line("\(time) \(event.namespace) \(event.topic) \(held)")
    }
  }
}
