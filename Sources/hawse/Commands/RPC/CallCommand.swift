import ArgumentParser
import Foundation
import RPCCore
import ShimManagement

struct CallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call", abstract: "Call a method of a shim or of a daemon, with JSON.",
    discussion: """
      Calls one method and prints its answer as JSON, by protobuf's mapping. The address says by \
      which protocol, grpc+ or ttrpc+; one that says neither is taken for ttrpc. The methods are \
      those of containerd's task and sandbox APIs and of its events service: see --list.

      --data is the request: JSON, or @FILE, or - for standard input; without it the message is \
      empty. For a method that takes many messages it is one in each line.

      What an Any holds is written as {"@type": "containerd.runc.v1.Options", …} with the message's \
      fields; JSON under one of containerd's type URLs as {"@type": URL, "value": JSON}; anything \
      else as {"@type": URL, "@bytes": BASE64}.

      With --json each answer is one line, and a failure is an object, too: \
      {"error": {"code", "number", "message", "details"}}.

      EXAMPLES
        hawse call unix:///run/pod1.sock containerd.task.v2.Task/Connect
        hawse call unix:///run/pod1.sock containerd.task.v2.Task/Kill \\
          --data '{"id":"web","signal":15}'
        hawse call --timeout 2 grpc+vsock://3:1024 containerd.task.v3.Task/State \\
          --data @state.json
        hawse call --list

      EXIT STATUS
        0 when the method answered, 1 when it answered with an error or could not be reached, 64 \
        when the command line or the request was wrong.
      """)

  @OptionGroup var connection: ClientFlags

  @Option(
    help: ArgumentHelp(
      "The request: JSON, @FILE, or - for standard input.", valueName: "json"))
  var data: String?

  @Option(
    help: ArgumentHelp(
      "How long the call may take (default: as long as it takes). It travels with the call.",
      valueName: "seconds"))
  var timeout: Double?

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("The namespace that the call is about.", valueName: "name"))
  var namespace = "default"

  @Option(
    help: ArgumentHelp("Sent with the call; may be repeated.", valueName: "key=value"))
  var metadata: [String] = []

  @Flag(help: "Print each answer in one line, and a failure as an object.") var json = false

  @Flag(help: "Show what can be called, with the types of the messages.") var list = false

  @Argument(help: "The address, such as ttrpc+unix:///run/pod1.sock.") var address: String?

  @Argument(help: "SERVICE/METHOD, such as containerd.task.v2.Task/State.") var method: String?

  func validate() throws {
    try ReachFlags.check(timeout, "--timeout")
    if list {
      if address != nil { throw ValidationError("--list calls nothing: it takes no address.") }
    } else if address == nil || method == nil {
      throw ValidationError("An address and a SERVICE/METHOD are needed, or --list.")
    }
    for entry in metadata where entry.split(separator: "=").isEmpty || !entry.contains("=") {
      throw ValidationError("--metadata \(entry) is not KEY=VALUE.")
    }
  }

  func run() async throws {
    try await reporting {
      guard let address, let method else { return try printList() }
      let call: DynamicCall
      do {
        let signature = try ServiceCatalog.standard.method(method)
        call = try DynamicCall(
          signature, CallData.requests(data, isStream: signature.takesMany), options)
      } catch {
        try Failure.exit(error, code: Failure.ofCommandLine)
      }
      do {
        try await perform(call, address)
      } catch {
        try report(error, call.signature.method)
      }
    }
  }

  private func perform(_ call: DynamicCall, _ address: String) async throws {
    let json = json
    let client = try await connection.client(to: address)
    do {
      try await call.run(over: RPCLine(client)) { Output.line(json ? $0.compact : $0.pretty) }
    } catch {
      await client.close()
      throw error
    }
    await client.close()
  }

  private func report(_ error: any Error, _ method: RPCMethod) throws -> Never {
    if json, let report = CallFailure.json(error) {
      Output.line(report.compact)
      throw ExitCode(Failure.ofAnything)
    }
    guard let error = error as? RPCError else { throw error }
    throw CallFailure(method, error)
  }

  private var options: RPCCallOptions {
    var options = RPCCallOptions(timeout: timeout.map { .seconds($0) })
    // Each protocol has its own key for it.
    options.metadata["containerd-namespace-ttrpc"] = namespace
    options.metadata["containerd-namespace"] = namespace
    for entry in metadata {
      let pieces = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      options.metadata.append(String(pieces[1]), for: String(pieces[0]))
    }
    return options
  }

  private func printList() throws {
    let methods = ServiceCatalog.standard.methods
    guard json else {
      return Output.table(
        ["METHOD", "REQUEST", "RESPONSE"],
        methods.map { [$0.method.path, $0.requestText, $0.responseText] })
    }
    try Output.json(
      methods.map {
        ["method": $0.method.path, "request": $0.requestText, "response": $0.responseText]
      })
  }
}
