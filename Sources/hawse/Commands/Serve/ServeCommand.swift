import ArgumentParser
import Foundation
import Logging
import SandboxControl

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve", abstract: "Control sandboxes for containerd and others.",
    discussion: """
      Serves containerd.services.sandbox.v1.Controller, containerd.services.events.v1.Events and \
      grpc.health.v1.Health over gRPC, on a unix socket that only this user may use. containerd uses \
      it as a sandbox controller with

        [proxy_plugins.hawsepipe]
          type = "sandbox"
          address = "/run/hawsepipe/control/grpc.sock"

      and, for a runtime of its CRI service, sandboxer = "hawsepipe".

      When it listens it prints "listening at ADDRESS", and tells a service manager (NOTIFY_SOCKET, \
      WATCHDOG_USEC). Sockets that a service manager hands over (LISTEN_FDS) are used in place of \
      the configured address. SIGTERM and SIGINT stop it in order: sandboxes go on, and the next \
      hawse serve has them again; so it does after a crash. A second signal ends it at once.

      EXAMPLES
        hawse serve
        hawse serve --config /etc/hawsepipe/serve.toml
        hawse config default > /etc/hawsepipe/serve.toml

      EXIT STATUS
        0 when a signal ended it, 1 when it could not serve, 64 when the command line was wrong.
      """)

  @Option(
    help: ArgumentHelp(
      "The configuration (default: \(ServeConfiguration.defaultPath), if it is there).",
      valueName: "file"))
  var config: String?

  @OptionGroup var tls: TLSFlags

  @Flag(help: "Log at debug level, whatever the configuration says.") var debug = false

  func run() async throws {
    try await reporting {
      let file = try ConfigurationFile.read(config)
      var logger = Logger(label: "hawse") { StreamLogHandler.standardError(label: $0) }
      logger.logLevel =
        debug ? .debug : Logger.Level(rawValue: file.configuration.logLevel) ?? .info
      #if GRPC
        try await ControllerServer(
          configuration: file.configuration, registry: try tls.registry(), logger: logger
        ).run()
      #else
        throw SandboxControlError(
          code: .invalidConfiguration, message: "this hawse was built without gRPC",
          hint: "Build it with the package trait GRPC, which is on unless it was turned off.")
      #endif
    }
  }
}
