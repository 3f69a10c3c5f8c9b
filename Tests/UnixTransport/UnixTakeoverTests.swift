import CLinux
import Glibc
import LinuxSystem
import NIOCore
import Testing
import TransportCore
import UnixTransport

@Suite struct UnixTakeoverTests {
  /// A socket's file as a server leaves it that was killed.
  private func abandon(_ path: String) async throws {
    let descriptor = clinux_unix_socket()
    let result = clinux_unix_bind(descriptor, path, path.utf8.count, false)
    close(descriptor)
    guard result == 0 else { throw Failure(what: "bind \(path)") }
    try await refuses(TransportAddress(place: .unix(path: path)))
  }

  /// A process that another test is just starting holds on to the closed socket until its exec.
  private func refuses(_ address: TransportAddress) async throws {
    try await eventually("nobody listens at \(address)") {
      do throws(TransportError) {
        let connection = try await UnixConnector().connect(to: address, options: .patient()) { _ in
        }
        connection.channel.close(promise: nil)
        return false
      } catch {
        return error.attempts.first?.failure.errno == ECONNREFUSED
      }
    }
  }

  private func names(in directory: String) throws -> [String] {
    try OwnedDescriptor(opening: directory, O_RDONLY | O_DIRECTORY).names().sorted()
  }

  private func listenError(
    _ address: TransportAddress, _ options: UnixListener.Options = .init()
  ) -> TransportError? {
    #expect(throws: TransportError.self) { try UnixListener(bindingTo: address, options: options) }
  }

  @Test("A socket that nobody listens on is taken over, and nothing else is left behind")
  func takesOver() async throws {
    let directory = try TemporaryDirectory()
    try await abandon(directory.path + "/x")
    let listener = try UnixListener(bindingTo: directory.address("x"))
    var status = stat()
    #expect(lstat(directory.path + "/x", &status) == 0)
    #expect(status.st_mode == S_IFSOCK | 0o600)
    #expect(try names(in: directory.path) == ["x"])
    try await withEchoServer(listener, greeting: "new") {
      var client = try await TextConnection.connect(to: directory.address("x"))
      #expect(await client.read(3) == "new")
      try await client.close()
    }
    #expect(try names(in: directory.path) == [])
  }

  @Test("So is one whose path no sockaddr holds")
  func longPath() async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address(String(repeating: "d", count: 150) + "/x")
    try UnixListener(bindingTo: address, options: .init(leavesFile: true)).close()
    try await refuses(address)
    let listener = try UnixListener(bindingTo: address)
    try await withEchoServer(listener, greeting: "new") {
      var client = try await TextConnection.connect(to: address)
      #expect(await client.read(3) == "new")
      try await client.close()
      #expect(listenError(address)?.message.contains("EADDRINUSE") == true)
    }
  }

  @Test(
    "A server that listens keeps its socket, whether it accepts or not", arguments: [true, false])
  func live(isFull: Bool) async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("x")
    let listener = try UnixListener(bindingTo: address, options: .init(backlog: isFull ? 0 : 16))
    var clients: [TextConnection] = []
    if isFull { clients.append(try await TextConnection.connect(to: address)) }
    let error = listenError(address)
    #expect(error?.message.contains("another server listens there") == true)
    #expect(error?.message.contains("EADDRINUSE") == true)
    #expect(error?.hint != nil)
    #expect(try names(in: directory.path) == ["x"])
    for client in clients { try await client.close() }
    listener.close()
  }

  @Test("A server with a socket of another type keeps it")
  func datagram() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/x"
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(descriptor) }
    #expect(clinux_unix_bind(descriptor, path, path.utf8.count, false) == 0)
    #expect(listenError(directory.address("x"))?.message.contains("another type") == true)
  }

  @Test("Whatever is no socket is left alone", arguments: ["file", "directory", "link"])
  func others(kind: String) async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path + "/x"
    switch kind {
    case "file": close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
    case "directory": mkdir(path, 0o700)
    default:
      // Not even to a socket that nobody listens on.
      try await abandon(directory.path + "/y")
      symlink(directory.path + "/y", path)
    }
    let before = try names(in: directory.path)
    let error = listenError(directory.address("x"))
    #expect(error?.message.contains("not a socket") == true)
    #expect(error?.message.contains("EEXIST") == true)
    #expect(try names(in: directory.path) == before)
  }

  @Test("Of fifty that start at once one gets the socket", arguments: [true, false])
  func crowd(isAbandoned: Bool) async throws {
    for _ in 0..<20 {
      let directory = try TemporaryDirectory()
      let address = directory.address("x")
      if isAbandoned { try await abandon(directory.path + "/x") }
      let winners = try await withThrowingTaskGroup(of: UnixListener?.self) {
        group -> [UnixListener] in
        for _ in 0..<50 {
          group.addTask {
            do throws(TransportError) {
              return try UnixListener(bindingTo: address)
            } catch {
              guard error.message.contains("EADDRINUSE") else { throw error }
              return nil
            }
          }
        }
        var winners: [UnixListener] = []
        for try await case let winner? in group { winners.append(winner) }
        return winners
      }
      #expect(winners.count == 1)
      #expect(try names(in: directory.path) == ["x"])
      guard let winner = winners.first else { return }
      try await withEchoServer(winner, greeting: "!") {
        var client = try await TextConnection.connect(to: address)
        #expect(await client.read(1) == "!")
        try await client.close()
      }
    }
  }

  @Test("Starters that come and go leave no moment for two")
  func comingAndGoing() async throws {
    let directory = try TemporaryDirectory()
    let address = directory.address("x")
    let alone = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<8 {
        group.addTask {
          var won = 0
          for round in 0..<200 {
            let options = UnixListener.Options(leavesFile: round % 2 == 0)
            // Taken, or it is ours.
            guard let listener = try? UnixListener(bindingTo: address, options: options) else {
              await Task.yield()
              continue
            }
            // Who listens is who the path leads to.
            #expect(throws: TransportError.self) { try UnixListener(bindingTo: address) }
            listener.close()
            won += 1
          }
          return won
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(alone > 0)
    #expect(try names(in: directory.path).allSatisfy { $0 == "x" })
  }

  @Test("Of two processes that start at once one gets the socket, a hundred times")
  func processes() async throws {
    let directory = try TemporaryDirectory()
    let path = directory.path
    for round in 0..<100 where round % 2 == 0 { try await abandon("\(path)/x\(round)") }
    async let first = #expect(processExitsWith: .success) { [path = path as String] in
      try await compete(in: path, as: "a", against: "b")
    }
    async let second = #expect(processExitsWith: .success) { [path = path as String] in
      try await compete(in: path, as: "b", against: "a")
    }
    _ = await (first, second)
    let names = try names(in: path)
    for round in 0..<100 {
      let winners = ["a", "b"].filter { names.contains("won-\(round)-\($0)") }
      #expect(winners.count == 1, "round \(round)")
    }
  }

  @Test("A directory that somebody keeps locked stops only who would take a socket over")
  func locked() async throws {
    let directory = try TemporaryDirectory()
    try await abandon(directory.path + "/abandoned")
    let handle = try OwnedDescriptor(opening: directory.path, O_RDONLY | O_DIRECTORY)
    #expect(flock(handle.number, LOCK_EX) == 0)
    let error = listenError(directory.address("abandoned"))
    #expect(error?.message.contains("cannot be locked") == true)
    let listener = try UnixListener(bindingTo: directory.address("x"))
    #expect(try names(in: directory.path) == ["abandoned", "x"])
    listener.close()
    #expect(try names(in: directory.path) == ["abandoned"])
  }

  @Test("The factory listens with its mode, and takes over what was abandoned")
  func factory() async throws {
    let directory = try TemporaryDirectory()
    try await abandon(directory.path + "/x")
    var registry = TransportRegistry([UnixConnector()])
    registry.register(UnixListenerFactory(mode: 0o660))
    let listener = try await registry.listen(at: directory.address("x"))
    #expect(listener.boundAddress == directory.address("x"))
    var status = stat()
    #expect(lstat(directory.path + "/x", &status) == 0)
    #expect(status.st_mode & 0o7777 == 0o660)
    await #expect(throws: TransportError.self) {
      try await registry.listen(at: directory.address("x"))
    }
    listener.close()
    #expect(try names(in: directory.path) == [])
    let abstract = try await registry.listen(at: uniqueAbstract())
    abstract.close()
  }
}

/// Races another process for a hundred sockets; says which it got.
private func compete(in directory: String, as name: String, against other: String) async throws {
  func touch(_ file: String) { close(open("\(directory)/\(file)", O_CREAT | O_CLOEXEC, 0o600)) }
  func exists(_ file: String) -> Bool { access("\(directory)/\(file)", F_OK) == 0 }
  var held: [UnixListener] = []
  for round in 0..<100 {
    touch("ready-\(round)-\(name)")
    // Spinning, so that both are off at the same moment; the other may take long to be started.
    let end = ContinuousClock.now + .seconds(60)
    while !exists("ready-\(round)-\(other)") {
      guard ContinuousClock.now < end else { throw Failure(what: "the other never came") }
    }
    do throws(TransportError) {
      held.append(
        try UnixListener(
          bindingTo: TransportAddress(place: .unix(path: "\(directory)/x\(round)"))))
      touch("won-\(round)-\(name)")
    } catch {
      guard error.message.contains("EADDRINUSE") else { throw error }
    }
  }
  // Nobody stops listening before the other has tried for the last one.
  touch("done-\(name)")
  try await eventually("the other is through") { exists("done-\(other)") }
  for listener in held { listener.close() }
}
