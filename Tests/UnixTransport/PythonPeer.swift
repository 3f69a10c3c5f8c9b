import Glibc
import LinuxSystem
import NIOPosix
import TransportCore

/// A Python 3 program, as somebody else's end of a socket.
final class PythonPeer: Sendable {
  private let pid: pid_t
  private let output: CInt

  /// Runs a script with arguments; its standard output is read by ``readLine()``.
  init(_ script: String, _ arguments: String...) throws {
    var pipes: [CInt] = [0, 0]
    guard pipe(&pipes) == 0 else { throw Failure(what: "pipe: \(errnoText(errno))") }
    // Swift sees no pipe2: a peer that another test starts in between holds on to these at worst.
    for descriptor in pipes { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    output = pipes[0]
    defer { close(pipes[1]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
    var words = (["python3", "-c", script] + arguments).map { strdup($0) }
    defer { for word in words { free(word) } }
    words.append(nil)
    var pid: pid_t = 0
    let result = posix_spawnp(&pid, "python3", &actions, nil, words, environ)
    guard result == 0 else {
      close(output)
      throw Failure(what: "python3: \(errnoText(result))")
    }
    self.pid = pid
  }

  deinit {
    kill(pid, SIGKILL)
    var status: Int32 = 0
    waitpid(pid, &status, 0)
    close(output)
  }

  /// The next line of the program's output; "" at its end. Off the tests' own threads.
  func readLine() async throws -> String {
    let output = output
    return try await NIOThreadPool.singleton.runIfActive {
      var line: [UInt8] = []
      var byte: UInt8 = 0
      while read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") { line.append(byte) }
      return String(decoding: line, as: UTF8.self)
    }
  }
}
