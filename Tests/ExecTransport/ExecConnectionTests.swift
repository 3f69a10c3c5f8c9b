import ExecTransport
import Glibc
import NIOCore
import Testing
import TransportCore

@Suite struct ExecConnectionTests {
  @Test("A command's input and output are a connection that knows the command's process")
  func bothWays() async throws {
    let command = try await CommandConnection.open("cat")
    #expect(isRunning(command.pid))
    #expect(command.connection.timings.map(\.phase) == [.connect])
    try await command.send("hello")
    #expect(await command.read(5) == "hello")
    try await command.close()
    #expect(!isRunning(command.pid))
  }

  @Test("Large amounts pass both ways at once")
  func large() async throws {
    let command = try await CommandConnection.open("cat")
    let text = String(repeating: "0123456789abcdef", count: 1 << 16)
    async let sent: Void = command.send(text)
    #expect(await command.read(text.utf8.count) == text)
    try await sent
    try await command.close()
  }

  @Test("Closing the output ends the command's input, and what it still says arrives")
  func halfClose() async throws {
    let command = try await CommandConnection.open("wc", "-c")
    try await command.send("12345")
    try await command.channel.close(mode: .output)
    let (text, rest) = await command.all()
    #expect(text == "5\n")
    #expect(rest == [] || rest == [.inputEnd])
    try await eventually("the command is collected") { !isRunning(command.pid) }
  }

  @Test(
    "The last words of a command that ends by itself arrive, and then the end", arguments: 0..<20)
  func lastWords(round: Int) async throws {
    let command = try await CommandConnection.open("sh", "-c", "echo one; echo two")
    let (text, rest) = await command.all()
    #expect(text == "one\ntwo\n")
    #expect(rest == [.inputEnd])
    try await command.close()
  }

  @Test("Where half-closure is not wanted, the end of the command closes the connection")
  func wholeClose() async throws {
    let command = try await CommandConnection.open("echo", "bye", halfClosure: false)
    let (text, rest) = await command.all()
    #expect(text == "bye\n")
    #expect(rest == [])
    try await command.channel.closeFuture.get()
  }

  @Test("A command has this process's environment, and the address's own entries in it")
  func environment() async throws {
    // What this process has anyway: changing its environment is not safe while others read it.
    let path = String(cString: getenv("PATH"))
    let added = try await CommandConnection.open(
      "sh", "-c", "echo $HAWSEPIPE_A; echo $PATH", environment: ["HAWSEPIPE_A=a=b"])
    #expect(await added.all().text == "a=b\n\(path)\n")
    try await added.close()
    let replaced = try await CommandConnection.open(
      "/bin/sh", "-c", "echo $PATH", environment: ["PATH=/elsewhere"])
    #expect(await replaced.all().text == "/elsewhere\n")
    try await replaced.close()
  }

  @Test("A command has no descriptor but its three, and leads a process group")
  func surroundings() async throws {
    // Inheritable, as a careless library opens them.
    let careless = (0..<5).map { _ in open("/dev/null", O_RDONLY) }
    defer { for descriptor in careless { Glibc.close(descriptor) } }
    // Where ls itself reads the list is the fourth.
    let command = try await CommandConnection.open("ls", "/proc/self/fd")
    #expect(await command.all().text == "0\n1\n2\n3\n")
    try await command.close()
    let group = try await CommandConnection.open("sh", "-c", "ps -o pgid= -p $$; cat")
    #expect(Int32(await group.read(1).filter(\.isNumber)) == group.pid)
    try await group.close()
  }

  @Test("The dialer's policy is asked before the command can say a word")
  func policy() async throws {
    let error = await #expect(throws: TransportError.self) {
      _ = try await ExecConnector().connect(
        to: address(["cat"]), options: .patient(policy: .sameUser)
      ) { _ in }
    }
    #expect(error?.code == .refusedByPolicy)
  }
}
