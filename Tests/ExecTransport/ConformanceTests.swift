import DispatchSupport
import ExecTransport
import Glibc
import NIOCore
import Testing
import TransportConformance
import TransportCore
import UnixTransport

@Suite struct ConformanceTests {
  private static let checks: [ConformanceCheck] = ConformanceCheck.all(
    for: ReachedByCommand.subject { _ in throw Failure(what: "not run") })

  @Test("A command's standard input and output conform", arguments: checks)
  func conforms(_ check: ConformanceCheck) async throws {
    try await ReachedByCommand.run { try await check.run(against: $0) }
  }

  @Test("A lack of descriptors is survived, and none is left behind or to other programs")
  func alone() async {
    await besideDispatch {
      await #expect(processExitsWith: .success) {
        try await ReachedByCommand.run { subject in
          for check in ConformanceCheck.alone(for: subject) {
            do {
              try await check.run(against: subject)
            } catch {
              // As a text: the error itself would not get out of the process.
              Issue.record("\(error)")
            }
          }
        }
      }
    }
  }
}

/// Conformance servers of this process that are dialled through a command: a Perl program that
/// connects its standard input and output to an abstract unix socket. It stands for ssh and what that
/// runs; thousands of it are started, and Perl starts quickly.
private enum ReachedByCommand {
  static func subject(
    _ address: @escaping @Sendable (_ greets: Bool) async throws -> TransportAddress
  ) -> ConformanceSubject {
    ConformanceSubject(
      name: "exec", registry: TransportRegistry([ExecConnector(options: .patient)]),
      peer: .running(address: address)
    ) {
      // A command's output ends with the command.
      $0.halfClose = .fromDialer
      $0.canBeAbsent = false
      $0.identifiesListener = { ($0.command?.pid ?? 0) > 1 }
      $0.identifiesDialer = { $0.unix?.uid == geteuid() && $0.unix?.pid != getpid() }
    }
  }

  static func run(_ body: (ConformanceSubject) async throws -> Void) async throws {
    let name = "hawsepipe-exec-\(UInt64.random(in: 0 ... .max))"
    try await withThrowingTaskGroup(of: Void.self) { group in
      for greets in [false, true] {
        let listener = try UnixListener(
          bindingTo: TransportAddress(place: .abstract(name: "\(name)-\(greets)")))
        let server = ConformanceServer(
          greets: greets, identifiesDialer: subject { _ in address([]) }.identifiesDialer)
        group.addTask {
          try await listener.run(
            policy: nil, configure: server.configure, onConnection: server.serve)
        }
      }
      try await body(subject { address(["perl", "-MSocket", "-e", program, "\(name)-\($0)"]) })
      group.cancelAll()
      try await group.waitForAll()
    }
  }

  private static let program = """
    socket(my $peer, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!\\n";
    connect($peer, pack_sockaddr_un("\\0$ARGV[0]")) or die "connect: $!\\n";
    sub copy {
      my ($source, $target) = @_;
      while (sysread($source, my $bytes, 65536)) {
        for (my $done = 0; $done < length($bytes);) {
          $done += syswrite($target, $bytes, length($bytes) - $done, $done) // return;
        }
      }
    }
    $SIG{PIPE} = "IGNORE";
    my $writer = fork() // die "fork: $!\\n";
    if (!$writer) {
      copy(*STDIN, $peer);
      shutdown($peer, SHUT_WR);
      exit;
    }
    copy($peer, *STDOUT);
    kill("KILL", $writer);
    """
}
