import CLinux
import Glibc
import Testing
import TransportCore

@testable import VsockTransport

@Suite struct VsockConnectTests {
  @Test("An address that cannot be dialled is final, and says why")
  func wrongAddress() async {
    let wrong: [(TransportAddress, String)] = [
      (TransportAddress(place: .unix(path: "/x")), "not a vsock address"),
      (vsock(nil, 1024), "listen at"), (vsock(.max, 1024), "listen at"),
      (vsock(0, 1024), "hypervisor"), (vsock(3, .max), "any port"),
      (vsock(7, 1024, sibling: "true"), "sibling"),
    ]
    var patient = ConnectOptions.patient
    patient.mode = .waitUntilReady()
    for (address, word) in wrong {
      let error = await failure(address, patient)
      #expect(error?.code == .connectFailed)
      #expect(error?.attempts.first?.failure.outlook == .fatal)
      #expect(error?.message.contains(word) == true, "\(error?.message ?? "")")
    }
  }

  @Test(
    "Only guests' CIDs are reached through the host, when the address or the connector says so",
    arguments: [
      (UInt32(7), nil, false, false), (7, "no", false, false), (7, "yes", false, true),
      (7, nil, true, true), (1, "yes", true, false), (2, "yes", true, false),
    ])
  func siblings(cid: UInt32, parameter: String?, option: Bool, viaHost: Bool) throws {
    let target = try VsockTarget(vsock(cid, 1024, sibling: parameter), reachesSiblings: option)
    #expect(target.viaHost == viaHost)
  }

  @Test("The address's parameter is one of the connector's, and not for received addresses")
  func parameter() throws {
    let registry = TransportRegistry([VsockConnector()])
    let address = try registry.parse("ttrpc+vsock://7:1024?sibling=yes")
    #expect(throws: Never.self) { try registry.connector(for: address) }
    #expect(throws: TransportError.self) {
      try registry.parse("ttrpc+vsock://7:1024?sibling=yes", origin: .received)
    }
  }

  // Nothing listens there, and nothing leaves the machine, whatever vsock it has: with the loopback's
  // module it is refused, without it there is silence or no way at all.
  @Test("Dialling this machine, where nobody listens, ends within the limit of the try")
  func nobody() async throws {
    let limit = ConnectOptions(timeout: .seconds(600), tryLimit: .milliseconds(200))
    let error = await failure(vsock(1, freePort()), limit)
    #expect(error?.code == .connectFailed)
    let attempt = try #require(error?.attempts.first).failure
    #expect(attempt.phase == .connect)
    #expect(attempt.hint != nil)
    if ThisMachine.hasVsock {
      #expect([ECONNRESET, ETIMEDOUT, ENODEV].contains(attempt.errno), "\(attempt)")
      #expect(attempt.outlook == .notReady)
    } else {
      #expect(attempt.outlook == .fatal)
    }
  }

  @Test("Waiting until ready tries again until the time is up")
  func waiting() async throws {
    let options = ConnectOptions(
      timeout: .milliseconds(500), tryLimit: .milliseconds(50), mode: .waitUntilReady())
    let error = await failure(vsock(1, freePort()), options)
    #expect(error?.code == (ThisMachine.hasVsock ? .timedOut : .connectFailed))
  }

  @Test("A connect that is cancelled ends at once, long before the kernel's own limit")
  func cancelled() async throws {
    let forever = ConnectOptions(timeout: .seconds(3600), tryLimit: .seconds(3600))
    let port = freePort()
    let task = Task {
      try await VsockConnector().connect(to: vsock(1, port), options: forever) { _ in }
    }
    task.cancel()
    let error = await #expect(throws: TransportError.self) { try await task.value }
    #expect(error?.code == .cancelled)
  }

  @Test("Connects that fail, run out of time or are cancelled leave no descriptor")
  func noLeak() async throws {
    let before = try openDescriptors()
    let brief = ConnectOptions(timeout: .seconds(600), tryLimit: .milliseconds(20))
    await withTaskGroup(of: Void.self) { group in
      for round in 0..<300 {
        let task = Task {
          // How each of them fails is other tests' matter: here it is what they leave.
          _ = try? await VsockConnector().connect(to: vsock(1, freePort()), options: brief) { _ in
          }
        }
        group.addTask { await task.value }
        if round.isMultiple(of: 3) {
          // Some before they begin, some while they wait.
          if round.isMultiple(of: 2) { try? await Task.sleep(for: .milliseconds(2)) }
          task.cancel()
        }
      }
    }
    // Other tests run beside this one and have a few of their own.
    #expect(try openDescriptors() < before + 100)
  }
}

@Suite struct VsockConnectFailureTests {
  struct Row: Sendable, CustomStringConvertible {
    var cid: UInt32 = 3
    var errno: Int32
    var ownCID: UInt32?
    var outlook: AttemptFailure.Outlook
    var words: String
    var hint: String?
    var description: String { "\(cid) \(errno) \(words)" }
  }

  @Test(
    "An error of connect says who was not there, whether to wait, and what to do",
    arguments: [
      Row(errno: ECONNRESET, outlook: .notReady, words: "nobody listens", hint: "agent"),
      Row(errno: ECONNREFUSED, outlook: .notReady, words: "nobody listens", hint: "agent"),
      Row(cid: 2, errno: ECONNRESET, outlook: .notReady, words: "the host", hint: "server"),
      Row(errno: ETIMEDOUT, outlook: .notReady, words: "did not answer within", hint: "booting"),
      Row(cid: 1, errno: ETIMEDOUT, outlook: .notReady, words: "CID 1", hint: "vsock_loopback"),
      Row(cid: 2, errno: ETIMEDOUT, outlook: .notReady, words: "the host", hint: "port 1024"),
      Row(errno: ENODEV, ownCID: 2, outlook: .notReady, words: "no VM with CID 3", hint: "runs"),
      Row(errno: ENODEV, ownCID: nil, outlook: .notReady, words: "no VM", hint: "transport"),
      Row(
        errno: ENODEV, ownCID: CLINUX_VSOCK_ANY, outlook: .notReady, words: "no vsock transport",
        hint: "vhost_vsock"),
      Row(
        errno: ENODEV, ownCID: 3, outlook: .notReady, words: "does not reach itself",
        hint: "vsock_loopback"),
      Row(errno: ENETUNREACH, outlook: .notReady, words: "cannot be reached", hint: "sibling=yes"),
      Row(errno: EHOSTUNREACH, outlook: .notReady, words: "cannot be reached", hint: "sibling=yes"),
      Row(
        errno: EAFNOSUPPORT, outlook: .fatal, words: "no vsock on this machine", hint: "modprobe"),
      Row(errno: ESOCKTNOSUPPORT, outlook: .fatal, words: "no streams"),
      Row(errno: EPERM, outlook: .fatal, words: "may not use vsock"),
      Row(errno: EMFILE, outlook: .transient, words: "no descriptor", hint: "ulimit"),
      Row(errno: ENFILE, outlook: .transient, words: "no descriptor"),
      Row(errno: EADDRNOTAVAIL, outlook: .transient, words: "no vsock port left"),
      Row(errno: EINVAL, outlook: .fatal, words: "Invalid argument"),
    ])
  func words(row: Row) {
    let failure = VsockConnectFailure(
      cid: row.cid, port: 1024, errno: row.errno, limit: .seconds(5), ownCID: row.ownCID
    ).failure
    #expect(failure.phase == .connect)
    #expect(failure.errno == row.errno)
    #expect(failure.outlook == row.outlook)
    #expect(failure.message.contains(row.words), "\(failure.message)")
    if let hint = row.hint { #expect(failure.hint?.contains(hint) == true, "\(failure)") }
  }
}
