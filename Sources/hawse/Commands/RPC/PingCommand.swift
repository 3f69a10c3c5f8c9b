import ArgumentParser
import RPCCore
import SwiftProtobuf
import TTRPC
import TransportCore

struct PingCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ping", abstract: "Measure the round trip to a server.",
    discussion: """
      Connects once, and calls a method that no server has, \(PingCommand.method), again and again on \
      that connection. What is measured is the time from the call to the server's answer, which is \
      an error: the way there and back through every relay on it, and what the server takes to look \
      a name up. Connecting is not part of it; see hawse probe. No service is needed, and none is \
      touched. An address that begins with grpc+ is of a gRPC server, any other of a ttrpc server.

      It ends after --count pings, or with SIGINT or SIGTERM, and prints how many were answered, \
      and the least, mean and greatest time with the mean deviation.

      With --json each ping is a line with seq and milliseconds (or failure), and the last line has \
      statistics: address, sent, answered, lossPercent, and milliseconds with min, avg, max, mdev.

      EXAMPLES
        hawse ping ttrpc+unix:///run/pod1.sock
        hawse ping grpc+vsock://3:1024
        hawse ping --count 100 --interval 0.01 vsock://3:1024
        hawse ping --json --count 5 --tls-profile client.profile tls://build-7:9443

      EXIT STATUS
        0 when at least one answer came and the connection held, 1 otherwise, 64 when the command \
        line was wrong.
      """)

  /// Not a name that anybody has.
  static let method = RPCMethod(service: "hawsepipe.Ping", name: "Ping")

  @OptionGroup var connection: ClientFlags

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("How many pings (default: until a signal ends it).", valueName: "number"))
  var count: Int?

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("From the beginning of one ping to that of the next.", valueName: "seconds"))
  var interval = 1.0

  @Option(help: ArgumentHelp("How long an answer is waited for.", valueName: "seconds"))
  var timeout = 5.0

  @Flag(help: "Print JSON, an object a line.") var json = false

  @Argument(help: "The address, such as ttrpc+unix:///run/pod1.sock.") var address: String

  func validate() throws {
    try ReachFlags.check(timeout, "--timeout")
    if let count, count < 1 { throw ValidationError("--count is a number from 1.") }
    guard interval >= 0, interval <= 86_400 else {
      throw ValidationError("--interval is a number of seconds from 0 to 86400.")
    }
  }

  func run() async throws {
    try await reporting {
      let client = try await connection.client(to: address)
      let run = PingRun(client: client, command: self)
      let work = try Signals.shared.taskToCancel(on: (client as? TTRPCClient)?.executor) {
        await run.pings()
      }
      let (statistics, loss) = try await work.value
      await client.close()
      try run.print(statistics)
      if let loss { throw loss }
      if statistics.answered == 0 { throw ExitCode(Failure.ofAnything) }
    }
  }
}

/// Pings over one connection until there have been enough, the task is cancelled or the connection
/// is lost.
private struct PingRun: Sendable {
  private struct Line: Encodable {
    var seq: Int
    var milliseconds: Double?
    var failure: String?
  }

  private struct Closing: Encodable {
    var statistics: PingStatistics.Report
  }

  let client: any RPCConnection
  let address: String
  let count: Int
  let interval: Duration
  let options: RPCCallOptions
  let json: Bool

  init(client: any RPCConnection, command: PingCommand) {
    self.client = client
    address = "\(client.address)"
    count = command.count ?? .max
    interval = .seconds(command.interval)
    options = RPCCallOptions(timeout: .seconds(command.timeout))
    json = command.json
  }

  func pings() async -> (PingStatistics, loss: RPCError?) {
    var statistics = PingStatistics()
    if !json { Output.line("PING \(address) (\(client.peer))") }
    let clock = ContinuousClock()
    for number in 1...count {
      let began = clock.now
      let failure = await ping()
      let took = clock.now - began
      if Task.isCancelled { break }
      if let failure {
        statistics.count(nil)
        show(Line(seq: number, failure: "\(failure)"))
        if failure.reason == .connectionClosed { return (statistics, failure) }
      } else {
        statistics.count(took)
        show(Line(seq: number, milliseconds: took.milliseconds))
      }
      if number == count { break }
      do {
        try await clock.sleep(until: began + interval)
      } catch {
        // Cancelled by a signal, which is the way to end it.
        break
      }
    }
    return (statistics, nil)
  }

  /// - Returns: what kept an answer away. A status is an answer, whatever it says.
  private func ping() async -> RPCError? {
    do throws(RPCError) {
      _ = try await client.unary(
        PingCommand.method, Google_Protobuf_Empty(), returning: Google_Protobuf_Empty.self,
        options: options)
      return nil
    } catch {
      return error.reason == .status ? nil : error
    }
  }

  private func show(_ line: Line) {
    if json {
      do { try Output.jsonLine(line) } catch { Output.note("seq \(line.seq): \(error)") }
    } else if let time = line.milliseconds {
      Output.line("answer: seq=\(line.seq) time=\(PingStatistics.text(time)) ms")
    } else {
      Output.line("no answer: seq=\(line.seq): \(line.failure ?? "")")
    }
  }

  func print(_ statistics: PingStatistics) throws {
    let report = statistics.report(address)
    if json { return try Output.jsonLine(Closing(statistics: report)) }
    Output.line("")
    for line in report.lines { Output.line(line) }
  }
}
