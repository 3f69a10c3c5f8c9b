import Glibc
import Synchronization
import Testing

@testable import ShimManagement

@Suite("StateDirectory.withLock")
struct StateDirectoryLockTests {
  private final class Room: Sendable {
    let inside = Atomic(0)
    let visits = Atomic(0)
  }

  @Test("one at a time for one id, and no file stays")
  func exclusion() async throws {
    let scratch = try Scratch.opened()
    let state = scratch.state
    let room = Room()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<24 {
        group.addTask {
          try await state.withLock(namespace: "n", id: "a", timeout: .seconds(60)) {
            #expect(room.inside.add(1, ordering: .sequentiallyConsistent).newValue == 1)
            await Task.yield()
            room.inside.subtract(1, ordering: .sequentiallyConsistent)
            room.visits.add(1, ordering: .sequentiallyConsistent)
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(room.visits.load(ordering: .sequentiallyConsistent) == 24)
    #expect(tree(state.locks).count == 1)
  }

  @Test("the lock of a file that vanished after it was opened is worth nothing")
  func vanished() throws {
    let scratch = try Scratch.opened()
    let path = "\(scratch.state.locks)/n:a"
    let late = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(late) }
    // Between the open above and the lock below the holder goes, and with it the file.
    #expect(unlink(path) == 0)
    #expect(try !FileLock.lock(late, path))
    // And somebody else takes a new one.
    let next = try #require(try FileLock.tryAcquire(path))
    #expect(try !FileLock.lock(late, path))
    #expect(try FileLock.tryAcquire(path) == nil)
    next.release()
    #expect(!exists(path))
  }

  @Test("other ids, and the same id in another namespace, are not held up")
  func others() async throws {
    let scratch = try Scratch.opened()
    let state = scratch.state
    try await state.withLock(namespace: "n", id: "a") { () throws(ShimManagementError) in
      try await state.withLock(namespace: "n", id: "b", timeout: .zero) {
        () throws(ShimManagementError) in
        try await state.withLock(namespace: "m", id: "a", timeout: .zero) {}
      }
    }
  }

  @Test(
    "those who share let each other in, and keep out who wants it alone, until the last is gone")
  func shared() async throws {
    let scratch = try Scratch.opened()
    let path = "\(scratch.state.locks)/n:a"
    let one = try #require(try FileLock.tryAcquire(path, shared: true))
    let two = try #require(try FileLock.tryAcquire(path, shared: true))
    one.release()
    #expect(exists(path))
    #expect(try FileLock.tryAcquire(path) == nil)
    two.release()
    #expect(!exists(path))
    let alone = try #require(try FileLock.tryAcquire(path))
    #expect(try FileLock.tryAcquire(path, shared: true) == nil)
    alone.release()
  }

  @Test("gives up after its time, and names the process that holds it")
  func busy() async throws {
    let scratch = try Scratch.opened()
    let state = scratch.state
    try await state.withLock(namespace: "n", id: "a") {
      let error = await asyncFailure {
        try await state.withLock(namespace: "n", id: "a", timeout: .milliseconds(20)) {
          _ = Issue.record("two inside")
        }
      }
      #expect(error?.code == .busy)
      #expect(error?.description.contains("process \(getpid())") == true)
      #expect(error?.description.contains("n/a") == true)
    }
    try await state.withLock(namespace: "n", id: "a", timeout: .zero) {}
  }

  @Test("keeps other processes out, and they keep us out")
  func processes() async throws {
    let scratch = try Scratch.opened()
    let path = "\(scratch.state.locks)/n:a"
    try await scratch.state.withLock(namespace: "n", id: "a") {
      #expect(run(["/usr/bin/flock", "--nonblock", path, "/bin/true"]).status == 1)
    }
    // A lock belongs to the open file, so another descriptor is as good as another process.
    let other = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    #expect(flock(other, LOCK_EX | LOCK_NB) == 0)
    let error = await asyncFailure {
      try await scratch.state.withLock(namespace: "n", id: "a", timeout: .milliseconds(20)) {}
    }
    #expect(error?.code == .busy)
    #expect(error?.description.contains("another process") == true)
    close(other)
  }

  @Test("a file that a process left behind when it was killed is no lock")
  func stale() async throws {
    let scratch = try Scratch.opened()
    try write("1\n", to: "\(scratch.state.locks)/n:a")
    try await scratch.state.withLock(namespace: "n", id: "a", timeout: .zero) {}
    #expect(tree(scratch.state.locks).count == 1)
  }

  @Test("an error of the body comes through, and the lock is free after it")
  func bodyThrows() async throws {
    let scratch = try Scratch.opened()
    let error = await #expect(throws: ShimManagementError.self) {
      try await scratch.state.withLock(namespace: "n", id: "a") { () throws(ShimManagementError) in
        throw ShimManagementError(code: .internal, message: "mine")
      }
    }
    #expect(error?.message == "mine")
    let value = try await scratch.state.withLock(namespace: "n", id: "a", timeout: .zero) { 7 }
    #expect(value == 7)
  }

  @Test("waiting ends when the task is cancelled")
  func cancelled() async throws {
    let scratch = try Scratch.opened()
    let state = scratch.state
    try await state.withLock(namespace: "n", id: "a") {
      let waiter = Task {
        await asyncFailure {
          try await state.withLock(namespace: "n", id: "a", timeout: .seconds(600)) {}
        }?.code
      }
      waiter.cancel()
      #expect(await waiter.value == .cancelled)
    }
  }

  @Test("refuses names that would lead elsewhere, and a link in the lock's place")
  func names() async throws {
    let scratch = try Scratch.opened()
    let name = await asyncFailure {
      try await scratch.state.withLock(namespace: "n", id: "../x") {}
    }
    #expect(name?.code == .invalidIdentifier)
    try write("mine", to: "\(scratch.path)/mine")
    #expect(symlink("\(scratch.path)/mine", "\(scratch.state.locks)/n:a") == 0)
    let link = await asyncFailure { try await scratch.state.withLock(namespace: "n", id: "a") {} }
    #expect(link?.code == .stateDirectory)
    #expect(try contents("\(scratch.path)/mine") == "mine")
  }
}
