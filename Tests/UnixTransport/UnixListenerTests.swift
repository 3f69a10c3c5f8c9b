import CLinux
import Glibc
import NIOCore
import Testing
import TransportCore
import UnixTransport

@Suite struct UnixListenerTests {
  private func mode(_ path: String) -> mode_t? {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
  }

  private func isReachable(_ address: TransportAddress) async throws -> Bool {
    do {
      try await TextConnection.connect(to: address).close()
      return true
    } catch let error as TransportError where error.code == .connectFailed {
      return false
    }
  }

  private func listenError(
    _ address: TransportAddress, _ options: UnixListener.Options = .init()
  ) -> TransportError? {
    #expect(throws: TransportError.self) { try UnixListener(bindingTo: address, options: options) }
  }

  @Test("The socket is its owner's only, in a directory that is its owner's only")
  func permissions() throws {
    let directory = try TemporaryDirectory()
    let listener = try UnixListener(bindingTo: directory.address("a/b/x.sock"))
    #expect(mode(directory.path + "/a") == 0o700)
    #expect(mode(directory.path + "/a/b") == 0o700)
    #expect(mode(directory.path + "/a/b/x.sock") == 0o600)
    listener.close()
    let open = try UnixListener(
      bindingTo: directory.address("y"), options: .init(mode: 0o666, replacing: true))
    #expect(mode(directory.path + "/y") == 0o666)
    open.close()
  }

  @Test("The file is removed on the way out, or left to refuse dialers", arguments: [true, false])
  func removal(leaves: Bool) async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("x")
    let listener = try UnixListener(bindingTo: address, options: .init(leavesFile: leaves))
    try await withEchoServer(listener) {
      let isReachable = try await isReachable(address)
      #expect(isReachable)
    }
    #expect(mode(directory.path + "/x") == (leaves ? 0o600 : nil))
    try await eventually("dialers are refused") {
      do throws(TransportError) {
        let connection = try await UnixConnector().connect(to: address, options: .patient()) { _ in
        }
        connection.channel.close(promise: nil)
        return false
      } catch {
        #expect(error.attempts.first?.failure.errno == (leaves ? ECONNREFUSED : ENOENT))
        return true
      }
    }
  }

  @Test("A listener that never ran cleans up, too")
  func neverRan() throws {
    let directory = try TemporaryDirectory()
    do {
      let listener = try UnixListener(bindingTo: directory.address("x"))
      withExtendedLifetime(listener) { #expect(mode(directory.path + "/x") != nil) }
    }
    #expect(mode(directory.path + "/x") == nil)
  }

  @Test("A path that is taken is an error, unless it is to be replaced")
  func replacing() async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("x")
    let old = try UnixListener(bindingTo: address)
    let error = listenError(address)
    #expect(error?.code == .listenFailed)
    #expect(error?.description.contains("EADDRINUSE") == true)
    #expect(error?.hint?.contains("replace") == true)

    let new = try UnixListener(bindingTo: address, options: .init(replacing: true))
    // The old one removes only its own file, and that is gone.
    old.close()
    try await withEchoServer(new, greeting: "new") {
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(3) == "new")
      try await client.close()
    }
    #expect(mode(directory.path + "/x") == nil)
  }

  @Test("Replacing leaves no moment without a listener")
  func atomicReplacing() async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("x")
    var current = try UnixListener(bindingTo: address)
    let dialer = Task {
      var dials = 0
      while !Task.isCancelled {
        let connection = try await UnixConnector().connect(to: address, options: .patient()) { _ in
        }
        // The listener may have been closed under it, which is not what is asked here.
        try? await connection.channel.close()
        dials += 1
      }
      return dials
    }
    var replaced: [UnixListener] = []
    for _ in 0..<50 {
      let next = try UnixListener(bindingTo: address, options: .init(replacing: true))
      replaced.append(current)
      current = next
      await Task.yield()
    }
    dialer.cancel()
    do {
      _ = try await dialer.value
    } catch let error as TransportError {
      #expect(error.code == .cancelled, "\(error)")
    }
    for listener in replaced { listener.close() }
    current.close()
  }

  @Test("Only a socket is ever replaced")
  func replacesSocketsOnly() throws {
    let directory = try TemporaryDirectory()
    close(open(directory.path + "/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
    let error = listenError(directory.address("x"), .init(replacing: true))
    #expect(error?.description.contains("not a socket") == true)
    #expect(mode(directory.path + "/x") == 0o600)
  }

  @Test("An abstract name that is taken is an error")
  func abstractTaken() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    #expect(listenError(address)?.description.contains("EADDRINUSE") == true)
    listener.close()
    // Taken still is the only reason not to get it.
    try await eventually("the name is free") {
      guard let next = try? UnixListener(bindingTo: address) else { return false }
      next.close()
      return true
    }
  }

  @Test("Where nothing can be bound, the error says why")
  func cannotBind() throws {
    let directory = try TemporaryDirectory()
    close(open(directory.path + "/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
    #expect(listenError(directory.address("file/x"))?.code == .listenFailed)
    let long = String(repeating: "x", count: 300)
    #expect(listenError(directory.address(long))?.description.contains("ENAMETOOLONG") == true)
    for place: TransportAddress.Place in [
      .vsock(cid: nil, port: 1), .unix(path: "relative"), .unix(path: "/a\0b"),
    ] {
      #expect(listenError(TransportAddress(place: place))?.code == .listenFailed)
    }
  }

  @Test("A path that is too long to be bound is taken, or is an error when it is taken")
  func longPath() throws {
    let directory = try TemporaryDirectory()
    let part = String(repeating: "x", count: 200)
    let address = directory.address(part + "/" + part)
    let listener = try UnixListener(bindingTo: address)
    #expect(listenError(address)?.description.contains("EADDRINUSE") == true)
    let new = try UnixListener(bindingTo: address, options: .init(replacing: true))
    listener.close()
    let path = directory.path + "/" + part
    #expect(mode(path + "/" + part) == 0o600)
    new.close()
    // Nothing is left, not even under a temporary name.
    #expect(rmdir(path) == 0)
  }

  @Test("A listener runs once")
  func once() async throws {
    let listener = try UnixListener(bindingTo: uniqueAbstract())
    try await withEchoServer(listener) {}
    let error = await #expect(throws: TransportError.self) {
      try await listener.run { _ in
      } onConnection: { _ in
      }
    }
    #expect(error?.code == .listenFailed)
  }

  @Test("Cancelling the listener ends its connections")
  func cancellation() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    let client = try await withEchoServer(listener, greeting: "x") {
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(1) == "x")
      return client.connection
    }
    try await client.channel.closeFuture.get()
    try await eventually("nobody listens any more") { try await !isReachable(address) }
  }

  @Test("Closing the listener lets its connections finish")
  func gracefulClose() async throws {
    let address = uniqueAbstract()
    let listener = try UnixListener(bindingTo: address)
    try await withEchoServer(listener, greeting: "x") {
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(1) == "x")
      listener.close()
      try await client.send("still there")
      #expect(await client.read(11) == "still there")
      try await eventually("nobody listens any more") { try await !isReachable(address) }
      try await client.close()
    }
  }

  @Test("A socket that was inherited is listened on, and its file is left alone")
  func adopting() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/x"
    let descriptor = clinux_unix_socket()
    #expect(clinux_unix_bind(descriptor, path, path.utf8.count, false) == 0)
    #expect(clinux_listen(descriptor, 16) == 0)
    let listener = try UnixListener(adopting: descriptor)
    #expect(listener.boundAddress == directory.address("x"))
    try await withEchoServer(listener) {
      let isReachable = try await isReachable(directory.address("x"))
      #expect(isReachable)
    }
    #expect(mode(path) != nil)
  }

  @Test("A descriptor that does not listen is not adopted, and closed")
  func adoptingOther() {
    let descriptor = clinux_unix_socket()
    let error = #expect(throws: TransportError.self) { try UnixListener(adopting: descriptor) }
    #expect(error?.code == .listenFailed)
    #expect(throws: TransportError.self) { try UnixListener(adopting: 1_000_000) }
  }
}
