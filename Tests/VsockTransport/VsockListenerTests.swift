import CLinux
import Glibc
import Testing
import TransportCore

@testable import VsockTransport

@Suite struct VsockListenerTests {
  private func listen(
    _ address: TransportAddress
  ) async throws(TransportError) -> any Listener {
    try await VsockListenerFactory().listen(at: address, options: ListenOptions())
  }

  /// The port that is bound; nil where there is no vsock, which has to be what the error says.
  private func bind(_ address: TransportAddress) async throws -> (any Listener, UInt32)? {
    guard ThisMachine.hasVsock else {
      let error = await #expect(throws: TransportError.self) { try await listen(address) }
      #expect(error?.code == .listenFailed)
      #expect(error?.message.contains("no socket to be had") == true)
      return nil
    }
    let listener = try await listen(address)
    guard case .vsock(nil, let port) = listener.boundAddress.place else {
      Issue.record("bound at \(listener.boundAddress)")
      return nil
    }
    return (listener, port)
  }

  @Test("Any port is one that the listener tells", arguments: [0, UInt32.max])
  func anyPort(port: UInt32) async throws {
    guard let (listener, bound) = try await bind(vsock(nil, port)) else { return }
    #expect(bound != 0 && bound != .max)
    listener.close()
  }

  @Test("A port is taken by one listener, and free again when it is closed")
  func taken() async throws {
    guard let (listener, port) = try await bind(vsock(nil, 0)) else { return }
    let error = await #expect(throws: TransportError.self) { try await listen(vsock(nil, port)) }
    #expect(error?.code == .listenFailed)
    #expect(error?.message.contains("EADDRINUSE") == true)
    #expect(error?.hint?.contains("another port") == true)
    listener.close()
    let again = try await bind(vsock(nil, port))
    #expect(again?.1 == port)
    again?.0.close()
  }

  @Test("A CID that is not this machine's cannot be listened at")
  func foreignCID() async throws {
    let error = await #expect(throws: TransportError.self) {
      try await listen(vsock(0xffff_fff0, freePort()))
    }
    #expect(error?.code == .listenFailed)
    if ThisMachine.hasVsock { #expect(error?.message.contains("EADDRNOTAVAIL") == true) }
  }

  @Test("What keeps it from listening is told with what to do")
  func words() {
    let binding = VsockBinding(address: vsock(nil, 1023))
    for (errno, word) in [
      (EACCES, "CAP_NET_BIND_SERVICE"), (EADDRINUSE, "another"), (EADDRNOTAVAIL, "any"),
      (EAFNOSUPPORT, "modprobe"), (EPERM, "container"),
    ] {
      let error = binding.failed("cannot bind", errno)
      #expect(error.code == .listenFailed)
      #expect(error.message.contains("vsock://any:1023: cannot bind"))
      #expect(error.hint?.contains(word) == true, "\(error)")
    }
    #expect(binding.failed("cannot listen", EIO).hint == nil)
  }

  @Test("An address of another transport is refused")
  func wrongAddress() async {
    let error = await #expect(throws: TransportError.self) {
      try await listen(TransportAddress(place: .unix(path: "/x")))
    }
    #expect(error?.message.contains("not a vsock address") == true)
  }

  @Test("A socket that listens is adopted with its address")
  func adopted() async throws {
    let made = clinux_vsock_socket()
    guard made >= 0 else { return #expect(!ThisMachine.hasVsock) }
    #expect(clinux_vsock_bind(made, CLINUX_VSOCK_ANY, CLINUX_VSOCK_ANY) == 0)
    #expect(clinux_listen(made, 1) == 0)
    var endpoint = clinux_vsock_endpoint()
    #expect(clinux_vsock_local(made, &endpoint) == 0)
    let listener = try VsockListenerFactory().listen(adopting: made)
    #expect(listener.boundAddress == vsock(nil, endpoint.port))
    listener.close()
  }

  @Test("What is no listening vsock socket is not adopted, and closed")
  func notAdopted() throws {
    for kind in 0..<3 {
      let descriptor: CInt
      switch kind {
      case 0: descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC)
      case 1: descriptor = clinux_unix_socket()
      default: descriptor = clinux_vsock_socket()
      }
      let error = #expect(throws: TransportError.self) {
        try VsockListenerFactory().listen(adopting: descriptor)
      }
      #expect(error?.message.contains("not a listening vsock") == true)
    }
  }

  @Test("It runs until it is cancelled, and once")
  func running() async throws {
    guard let (listener, _) = try await bind(vsock(nil, 0)) else { return }
    let task = Task {
      try await listener.run { _ in
      } onConnection: { _ in
      }
    }
    try await Task.sleep(for: .milliseconds(20))
    task.cancel()
    try await task.value
    await #expect(throws: TransportError.self) {
      try await listener.run { _ in
      } onConnection: { _ in
      }
    }
  }
}
