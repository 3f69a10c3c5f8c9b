import CLinux
import Glibc
import LinuxSystem
import Testing

@Suite struct WritableWaitTests {
  /// Two connected sockets, the first with no room left to write, as one that is not connected yet.
  private struct FullPair: ~Copyable {
    let full: Int32
    private let other: Int32
    private var isOpen = true

    init() throws {
      var pair: [Int32] = [-1, -1]
      let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
      guard socketpair(AF_UNIX, kind, 0, &pair) == 0 else { throw SystemError.last("socketpair") }
      (full, other) = (pair[0], pair[1])
      let bytes = [UInt8](repeating: 0, count: 4096)
      while write(full, bytes, bytes.count) > 0 {}
    }

    func makeRoom() {
      var bytes = [UInt8](repeating: 0, count: 4096)
      while read(other, &bytes, bytes.count) > 0 {}
    }

    mutating func closeOther() {
      close(other)
      isOpen = false
    }

    deinit {
      close(full)
      if isOpen { close(other) }
    }
  }

  @Test("A socket that can be written to is not waited for")
  func writable() async throws {
    let pipe = try Pipe()
    try await waitUntilWritable(pipe.writing.number)
  }

  @Test("The wait ends when there is room, and the descriptor can be waited for again")
  func room() async throws {
    let pair = try FullPair()
    let number = pair.full
    let wait = Task { try await waitUntilWritable(number) }
    try await Task.sleep(for: .milliseconds(20))
    pair.makeRoom()
    try await wait.value
    try await waitUntilWritable(number)
  }

  @Test("The wait ends when the other end is gone")
  func gone() async throws {
    var pair = try FullPair()
    let number = pair.full
    let wait = Task { try await waitUntilWritable(number) }
    try await Task.sleep(for: .milliseconds(20))
    pair.closeOther()
    try await wait.value
  }

  @Test("A wait that is cancelled, before or while it waits, ends at once", arguments: [0, 1, 20])
  func cancelled(milliseconds: Int) async throws {
    let pair = try FullPair()
    let number = pair.full
    let wait = Task { try await waitUntilWritable(number) }
    if milliseconds > 0 { try await Task.sleep(for: .milliseconds(milliseconds)) }
    wait.cancel()
    let error = await #expect(throws: SystemError.self) { try await wait.value }
    #expect(error?.errno == ECANCELED)
    // Nothing watches it any more.
    pair.makeRoom()
    try await waitUntilWritable(number)
  }

  @Test("Many wait at the same time, and each hears of its own descriptor")
  func many() async throws {
    await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<200 {
        group.addTask {
          let pair = try FullPair()
          let number = pair.full
          let wait = Task { try await waitUntilWritable(number) }
          try await Task.sleep(for: .milliseconds(10))
          if index.isMultiple(of: 2) {
            pair.makeRoom()
            try await wait.value
          } else {
            wait.cancel()
            await #expect(throws: SystemError.self) { try await wait.value }
          }
        }
      }
    }
  }

  @Test("A descriptor that cannot be watched is an error")
  func unwatchable() async throws {
    let file = try OwnedDescriptor(opening: "/proc/self/exe", O_RDONLY)
    let number = file.number
    let error = await #expect(throws: SystemError.self) { try await waitUntilWritable(number) }
    #expect(error?.errno == EPERM)
  }
}
