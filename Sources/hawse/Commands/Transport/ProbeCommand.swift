import ArgumentParser
import Foundation
import Glibc
import NIOCore
import TTRPC
import TransportCore

#if GRPC
  import GRPCTransport
#endif

struct ProbeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "probe", abstract: "Connect to an address and show how it went, phase by phase.",
    discussion: """
      Shows how long each phase took, who is at the other end, and its certificates with their \
      expiry. When it fails it says in which phase, why, and what to do.

      Nothing is sent, unless a sign of life is asked for: with --ttrpc a request that every ttrpc \
      server answers with an error, whatever services it has, with --grpc the beginning of HTTP/2, \
      which every gRPC server answers with its settings. A server that takes connections and does \
      not answer is then not ready, and one that speaks something else is told apart.

      With --watch it probes again and again, and prints the first outcome and whatever changes: \
      reachable or not, the peer, its certificate. SIGINT and SIGTERM end that.

      With --json a probe is an object with address, reachable, milliseconds, phases and warnings; \
      with protocol where a sign of life has shown it; with peer, tls and carriesHalfClose where they are known; and with failure when it failed: \
      code, message, attempts, and phase, errno and hint where there are any.

      EXAMPLES
        hawse probe unix:///run/pod1.sock
        hawse probe --wait --timeout 120 --ttrpc hvsock:///run/vm7.vsock:1024
        hawse probe --tls-profile client.profile tls://build-7:9443
        hawse probe --json tls://build-7:9443
        hawse probe --watch --interval 2 vsock://3:1024

      EXIT STATUS
        0 when it is reachable (or a watch was ended by a signal), 1 when it is not, 64 when the \
        command line was wrong.
      """)

  @OptionGroup var dialling: DialFlags

  @Flag(help: "Ask for a sign of life, as ttrpc servers give it.") var ttrpc = false

  @Flag(help: "Ask for a sign of life, as gRPC servers give it.") var grpc = false

  @Flag(help: "Probe again and again, and print what changes.") var watch = false

  @Option(help: ArgumentHelp("With --watch: the pause in between.", valueName: "seconds"))
  var interval = 1.0

  @Flag(help: "Print JSON; with --watch an object a line.") var json = false

  @Argument(help: "The address, such as tls://build-7:9443.") var address: String

  func validate() throws {
    guard interval >= 0.01, interval <= 86_400 else {
      throw ValidationError("--interval is a number of seconds from 0.01 to 86400.")
    }
    if ttrpc, grpc { throw ValidationError("--ttrpc contradicts --grpc.") }
  }

  func run() async throws {
    try await reporting {
      let registry = try dialling.tls.registry()
      let parsed = try registry.parse(address)
      // An address that nothing dials will not be dialled later, either.
      let connector = try registry.connector(for: parsed)
      let options = dialling.options
      let probe: @Sendable () async -> (ProbeReport, TransportError?)
      if ttrpc {
        guard parsed.rpc != .grpc else {
          throw ValidationError("--ttrpc contradicts the address, which says grpc.")
        }
        probe = {
          await ProbeReport.ping(
            parsed, .ttrpcPing, .ttrpc, through: connector, options: options)
        }
      } else if grpc {
        guard parsed.rpc != .ttrpc else {
          throw ValidationError("--grpc contradicts the address, which says ttrpc.")
        }
        #if GRPC
          // TLS agrees on h2 for addresses that say grpc.
          var asked = parsed
          asked.rpc = .grpc
          let address = asked
          probe = {
            await ProbeReport.ping(
              address, .grpcSettings, .grpc, through: connector, options: options)
          }
        #else
          throw ValidationError(
            "gRPC is not spoken here: build Hawsepipe with its trait GRPC, which is on unless it "
              + "was turned off.")
        #endif
      } else {
        probe = { await ProbeReport.probe(parsed, through: connector, options: options) }
      }
      if watch { return try await follow(probe) }
      let (report, error) = await probe()
      if json {
        try Output.json(report)
        if error != nil { throw ExitCode(Failure.ofAnything) }
      } else {
        if let error { throw error }
        report.print()
      }
    }
  }

  private func follow(
    _ probe: @escaping @Sendable () async -> (ProbeReport, TransportError?)
  ) async throws {
    let (json, interval) = (json, interval)
    let work = try Signals.shared.taskToCancel {
      var last: ProbeReport?
      while !Task.isCancelled {
        let (report, _) = await probe()
        guard !Task.isCancelled else { return }
        if report.differs(from: last) { try report.printChange(json: json) }
        last = report
        // Cancelled by a signal, which is the way to end it.
        try? await Task.sleep(for: .seconds(interval))
      }
    }
    try await work.value
  }
}
