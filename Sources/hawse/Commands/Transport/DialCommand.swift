import ArgumentParser
import Glibc
import Logging
import TransportCore
import TransportRelay

struct DialCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dial", abstract: "Connect standard input and output with an address.",
    discussion: """
      The end of standard input is passed on, and the peer's answer is waited for. When the peer has \
      ended its output, so does hawse: at once when standard input is a terminal, otherwise when \
      standard input is at its end or brings nothing for --linger seconds.

      Where the transport cannot carry an end of one direction alone (such as some hybrid vsock), the \
      peer is not told of the end of standard input, and the connection is closed when it has said \
      nothing for --linger seconds (there: at least 10).

      EXAMPLES
        hawse dial unix:///run/agent.sock
        echo status | hawse dial --wait --timeout 60 hvsock:///run/vm7.vsock:52
        hawse dial --tls-profile client.profile tls://build-7:9443

      EXIT STATUS
        0 when both sides ended in order, 1 when there was no connection or it broke, 64 when the \
        command line was wrong.
      """)

  @OptionGroup var dialling: DialFlags
  @OptionGroup var logging: LogFlags

  @Option(
    help: ArgumentHelp(
      "How long to go on sending when the peer has ended its output.", valueName: "seconds"))
  var linger = 1.0

  @Argument(help: "The address, such as unix:///run/a.sock.") var address: String

  func validate() throws {
    guard linger >= 0, linger <= 86_400 else {
      throw ValidationError("--linger is a number of seconds from 0 to 86400.")
    }
  }

  func run() async throws {
    try await reporting {
      try await StandardStreamsDial(
        address: address, registry: try dialling.tls.registry(), connect: dialling.options,
        endLimit: .seconds(max(linger, 10)),
        logger: logging.logger(),
        atPeersEnd: isatty(STDIN_FILENO) == 1 ? .stop : .linger(.seconds(linger))
      ).run()
    }
  }
}

struct DialStdioCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dial-stdio",
    abstract: "Connect standard input and output with an address, for another program.",
    discussion: """
      What a program on another host runs here, through ssh, to reach a socket of this host: both \
      directions end by themselves, as those of the connection do. When the peer ends its output, \
      standard output is closed; when standard input ends, the peer is told. It ends when both have, \
      or the peer is gone. It never looks for a terminal, and says nothing unless it fails.

      EXAMPLES
        ssh host hawse dial-stdio unix:///run/pod1.sock
        hawse dial 'exec://?arg=ssh&arg=host&arg=hawse&arg=dial-stdio&arg=unix:///run/pod1.sock'

      EXIT STATUS
        0 when both sides ended in order, 1 when there was no connection or it broke, 64 when the \
        command line was wrong.
      """)

  @OptionGroup var dialling: DialFlags
  @OptionGroup var logging: LogFlags

  @Argument(help: "The address, such as unix:///run/a.sock.") var address: String

  func run() async throws {
    try await reporting {
      try await StandardStreamsDial(
        address: address, registry: try dialling.tls.registry(), connect: dialling.options,
        endLimit: .seconds(10),
        logger: logging.logger(.critical), atPeersEnd: .closeOutput
      ).run()
    }
  }
}
