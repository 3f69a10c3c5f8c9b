internal import Glibc
internal import LinuxSystem

/// The lock of one group's socket, held by who makes, takes over or removes it.
///
/// It is a file beside the socket, which its holder removes when it lets go. A holder that is killed
/// leaves the file behind unlocked: whoever comes next takes it, and `delete` removes it.
struct GroupLock: ~Copyable {
  private let path: String
  private let descriptor: OwnedDescriptor

  static func path(of socket: String) -> String { socket + ".lock" }

  /// Waits for the lock, which blocks the calling thread, and runs `body` with it.
  ///
  /// - Throws: `.system` when it cannot be had: at all, or in this time; and what `body` throws.
  static func holding<Result>(
    _ socket: String, within limit: Duration, _ body: () throws -> Result
  ) throws -> Result {
    let lock = try GroupLock(of: socket, within: limit)
    let result = Swift.Result { try body() }
    lock.release()
    return try result.get()
  }

  private consuming func release() {}

  private init(of socket: String, within limit: Duration) throws(ShimKitError) {
    path = Self.path(of: socket)
    let deadline = ContinuousClock.now + limit
    var pause: UInt32 = 500
    do throws(SystemError) {
      while true {
        let file = try OwnedDescriptor(
          opening: path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode: 0o600)
        while try !file.tryLock() {
          guard ContinuousClock.now < deadline else {
            throw SystemError("flock", path, errno: ETIMEDOUT)
          }
          // A wait in flock(2) itself could not be bounded.
          usleep(pause)
          pause = min(pause * 2, 20_000)
        }
        // The holder before may have removed the file that was opened here: then it locks nobody out.
        if try Self.isStill(file, path) {
          descriptor = file
          return
        }
      }
    } catch {
      throw ShimKitError(
        code: .system, message: "the lock of the shim's socket \(socket) is not to be had",
        hint: error.errno == ETIMEDOUT
          ? "Another start or delete of this group holds it; see who has the file open." : nil,
        cause: error)
    }
  }

  deinit {
    // Before the descriptor is closed: afterwards the name may be another holder's.
    _ = unlink(path)
  }

  private static func isStill(
    _ file: borrowing OwnedDescriptor, _ path: String
  ) throws(SystemError) -> Bool {
    let mine = try file.status()
    var there = stat()
    guard lstat(path, &there) == 0 else { return false }
    return mine.st_ino == there.st_ino && mine.st_dev == there.st_dev
  }
}
