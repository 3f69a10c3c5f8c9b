import ExecTransport
import Glibc
import NIOCore
import Testing
import TransportConformance
import TransportCore
import UnixTransport

/// `exec` with Debian's ssh and sshd: a socket of a remote host is reached without a port of its own.
@Suite("Commands through ssh", .serialized, .timeLimit(.minutes(5)))
struct ExecSSHTests {
  /// No force before what ends by itself has had the time, however busy the machine is.
  private static let patient = ExecOptions(closeGrace: .seconds(60), killGrace: .seconds(60))

  private static func dialStdio(
    _ server: SSHServer, _ socket: String, options: [String] = []
  ) -> TransportAddress {
    server.address(
      [HawseFixture.executable, "dial-stdio", "unix://\(server.directory)/\(socket)"],
      options: options)
  }

  /// The error of a connect that fails while ssh is given the time to.
  private func failure(_ address: TransportAddress) async -> TransportError? {
    let settled = ExecOptions(settle: .seconds(120))
    return await #expect(throws: TransportError.self) {
      try await ExecConnector(options: settled).connect(
        to: address, options: ConnectOptions(timeout: .seconds(120), tryLimit: .seconds(120))
      ) { _ in }
    }
  }

  @Test(
    "hawse dial-stdio on the other side conforms",
    arguments: [
      "bytes, both directions at once", "half-close, dialer's", "slow listener", "slow dialer",
      "connection", "identity",
    ])
  func conforms(_ name: String) async throws {
    try await SSHServer.use { server in
      let path = "\(server.directory)/service"
      let listener = try UnixListener(bindingTo: TransportAddress(place: .unix(path: path)))
      // The remote command, which is neither this process nor a child of it.
      let conformance = ConformanceServer(identifiesDialer: {
        $0.unix?.uid == geteuid() && $0.unix?.pid != getpid()
      })
      let subject = ConformanceSubject(
        name: "ssh", registry: TransportRegistry([ExecConnector(options: Self.patient)]),
        peer: .running { _ in Self.dialStdio(server, "service") }
      ) {
        $0.halfClose = .fromDialer
        $0.identifiesListener = { ($0.command?.pid ?? 0) > 1 }
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          try await listener.run(
            policy: nil, configure: conformance.configure, onConnection: conformance.serve)
        }
        let checks = ConformanceCheck.all.filter { $0.name == name && $0.applies(to: subject) }
        #expect(checks.count == 1)
        for check in checks { try await check.run(against: subject) }
        group.cancelAll()
        try await group.waitForAll()
      }
    }
  }

  @Test(
    "What ssh says when it cannot get through is in the error",
    arguments: [
      ("IdentityFile=@/other", "Permission denied (publickey)"),
      ("UserKnownHostsFile=/dev/null", "Host key verification failed"),
      ("UserKnownHostsFile=@/mistaken", "REMOTE HOST IDENTIFICATION HAS CHANGED"),
      ("Port=1", "Connection refused"),
    ])
  func refused(option: String, said: String) async throws {
    try await SSHServer.use { server in
      let option = option.split(separator: "@", omittingEmptySubsequences: false)
        .joined(separator: server.directory)
      let error = await failure(Self.dialStdio(server, "service", options: [option]))
      #expect(error?.code == .connectFailed)
      let attempt = error?.attempts.first?.failure
      #expect(attempt?.message.contains("the command ssh exited with code 255") == true)
      #expect(attempt?.message.contains(said) == true, "\(attempt?.message ?? "")")
      // A host that boots looks like some of these.
      #expect(attempt?.outlook == .notReady)
    }
  }

  @Test("What the remote command says when it fails is in the error, too")
  func remoteFailure() async throws {
    try await SSHServer.use { server in
      let error = await failure(Self.dialStdio(server, "nobody"))
      let message = error?.attempts.first?.failure.message ?? ""
      #expect(message.contains("ssh exited with code 1"))
      #expect(message.contains("\(server.directory)/nobody"), "\(message)")
      let missing = await failure(server.address(["/nonexistent/hawse", "dial-stdio"]))
      #expect(missing?.attempts.first?.failure.message.contains("code 127") == true)
      #expect(missing?.attempts.first?.failure.message.contains("/nonexistent/hawse") == true)
    }
  }

  @Test("A failure that is not waited for is the connection's first and last event")
  func failsLater() async throws {
    try await SSHServer.use { server in
      let (errors, continuation) = AsyncStream<TransportError>.makeStream()
      let connection = try await ExecConnector(options: Self.patient).connect(
        to: Self.dialStdio(server, "service", options: ["IdentityFile=\(server.directory)/other"]),
        options: ConnectOptions(timeout: .seconds(60), tryLimit: .seconds(60))
      ) { channel in
        try channel.pipeline.syncOperations.addHandler(Errors(continuation))
      }
      var all: [TransportError] = []
      for await error in errors { all.append(error) }
      #expect(all.map(\.code) == [.connectFailed])
      #expect(all.first?.message.contains("Permission denied (publickey)") == true)
      // It may be closed already.
      try? await connection.channel.close()
    }
  }

  @Test("A cancelled connect leaves no ssh behind, and no session")
  func cancelled() async throws {
    try await SSHServer.use { server in
      let settled = ExecOptions(settle: .seconds(120))
      let dial = Task {
        try await ExecConnector(options: settled).connect(
          to: server.address(["cat"]),
          options: ConnectOptions(timeout: .seconds(120), tryLimit: .seconds(120))
        ) { _ in }
      }
      try await eventually("the remote command runs") {
        HostFiles.pids.contains { pid in
          HostFiles.text("/proc/\(pid)/cmdline") == "cat\0"
            && HostFiles.text("/proc/\(pid)/environ").contains(server.directory)
        }
      }
      dial.cancel()
      let error = await #expect(throws: TransportError.self) { try await dial.value }
      #expect(error?.code == .cancelled)
    }
  }
}

/// The errors of a connection, until its end.
private final class Errors: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let errors: AsyncStream<TransportError>.Continuation

  init(_ errors: AsyncStream<TransportError>.Continuation) { self.errors = errors }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let error = error as? TransportError { errors.yield(error) }
  }

  func channelInactive(context: ChannelHandlerContext) { errors.finish() }
}
