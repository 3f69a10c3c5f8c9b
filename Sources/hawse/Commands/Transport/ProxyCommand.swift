import ArgumentParser
import TransportCore
import TransportRelay

struct ProxyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "proxy", abstract: "Listen at one address and connect whoever comes to another.",
    discussion: """
      Bytes go both ways, unchanged, with the end of either side's output passed on where the \
      transports can say it. When it listens it prints "listening at ADDRESS", with the port that \
      was chosen, say.

      A peer for which DIAL cannot be reached is disconnected; the others and those to come are not \
      touched. At --max-connections accepting stops: further peers wait.

      SIGINT and SIGTERM stop accepting; connections that are there may end by themselves within \
      --drain seconds (a second signal ends them at once). SIGUSR1 prints the counters on standard \
      error. SIGHUP reads the certificates, keys and CAs of TLS again, which is otherwise done when \
      they change; where the new ones do not work, those of before stay in use. With --json all \
      that is printed is one JSON object a line, on standard output.

      EXAMPLES
        hawse proxy --tls-profile server.profile tls://0.0.0.0:9443 unix:///run/shim.sock
        hawse proxy unix:///run/vm7.sock hvsock:///run/vm7.vsock:1024
        hawse proxy --stats 5 tcp://127.0.0.1:0 unix:///run/pod1.sock

      EXIT STATUS
        0 when a signal ended it, 1 when it could not listen, 64 when the command line was wrong.
      """)

  @OptionGroup var dialling: DialFlags
  @OptionGroup var listening: ListenFlags
  @OptionGroup var logging: LogFlags

  @Option(
    help: ArgumentHelp("How many connections there may be at once.", valueName: "count"))
  var maxConnections = 4096

  @Option(
    help: ArgumentHelp(
      "End connections on which nothing moves for so long (default: never).", valueName: "seconds"))
  var idleLimit: Double?

  @Option(
    help: ArgumentHelp("End connections after so long (default: never).", valueName: "seconds"))
  var lifetimeLimit: Double?

  @Option(
    help: ArgumentHelp(
      "How long connections may go on behind a signal.", valueName: "seconds"))
  var drain = 10.0

  @Option(
    help: ArgumentHelp(
      "Print the counters so often (default: every second on a terminal).", valueName: "seconds"))
  var stats: Double?

  @Flag(help: "Print JSON, an object a line.") var json = false

  @Argument(help: "Where to listen, such as unix:///run/a.sock or tcp://127.0.0.1:0.")
  var listen: String
  @Argument(help: "What to connect to, such as vsock://3:1024.") var dial: String

  func validate() throws {
    guard maxConnections > 0 else { throw ValidationError("--max-connections is at least 1.") }
    let limits = [
      ("--idle-limit", idleLimit), ("--lifetime-limit", lifetimeLimit), ("--stats", stats),
    ]
    for (name, value) in limits {
      if let value, !(value >= 0.01 && value <= 31_536_000) {
        throw ValidationError("\(name) is a number of seconds from 0.01 to 31536000.")
      }
    }
    guard drain >= 0, drain <= 86_400 else {
      throw ValidationError("--drain is a number of seconds from 0 to 86400.")
    }
  }

  func run() async throws {
    try await reporting {
      let (registry, tls) = try dialling.tls.transports()
      let near = try registry.parse(listen)
      let far = try registry.parse(dial)
      let logger = logging.logger()
      let options = RelayOptions(
        connect: dialling.options, policy: listening.policy, maxConnections: maxConnections,
        idleLimit: idleLimit.map { .seconds($0) },
        lifetimeLimit: lifetimeLimit.map { .seconds($0) },
        logger: logger)
      // What cannot be dialled at all is found out before anything is bound.
      _ = try registry.connector(for: far)
      let listener = try await registry.listen(
        at: near,
        options: ListenOptions(
          logger: logger, plaintext: dialling.reach.plaintext ? .anywhere : .loopbackOnly))
      let relay: Relay
      do {
        relay = try Relay(from: listener, to: far, registry: registry, options: options)
      } catch {
        listener.close()
        throw error
      }
      try await ProxyRun(
        relay: relay, tls: tls, drain: .seconds(drain),
        report: ProxyReport(json: json, interval: stats)
      ).run()
    }
  }
}
