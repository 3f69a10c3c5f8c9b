import Glibc
import LinuxSystem
import Testing

@Suite struct SystemErrorTests {
  @Test(
    "error numbers have names and texts",
    arguments: [
      (2, "ENOENT", "No such file or directory"),
      (11, "EAGAIN", "Resource temporarily unavailable"),
      (111, "ECONNREFUSED", "Connection refused"), (4711, "errno 4711", "Unknown error 4711"),
    ])
  func errorNumbers(number: Int32, name: String, text: String) {
    #expect(errnoName(number) == name)
    #expect(errnoText(number) == text)
  }

  @Test("an error names the call, what it was called on, and why")
  func description() {
    #expect(SystemError("pipe2", errno: EMFILE).description == "pipe2: Too many open files")
    let named = SystemError("fsync", errno: EIO).on("/run/x")
    #expect(named.description == "fsync /run/x: Input/output error")
  }

  @Test("an interrupted call is made again, one that failed is not")
  func interrupts() {
    var answers: [(Int32, Int32)] = [(-1, EINTR), (-1, EINTR), (-1, EBADF), (7, 0)]
    let result = retryingInterrupts {
      let (result, number) = answers.removeFirst()
      errno = number
      return result
    }
    #expect(result == -1)
    #expect(errno == EBADF)
    #expect(answers.count == 1)
  }
}
