#if canImport(Glibc)
  internal import Glibc
#endif

/// A lock on a directory, held while a socket in it is bound, taken over or removed: what is found
/// out about a path stays true until it was acted upon, among all who take the lock.
///
/// It is flock(2) on the directory itself. A lock file would have to be left behind, or be removed
/// under the eyes of those who wait for it.
enum UnixDirectoryLock {
  /// Longer than any honest holder needs, who makes a few system calls.
  private static let limit = Duration.seconds(1)

  /// Runs `body` with the lock, or says that it was not to be had: others held it all the time, the
  /// directory may not be read or is not there, or its file system knows no such locks.
  static func withLock<Result, Failure: Error>(
    on directory: String, _ body: (_ isLocked: Bool) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let descriptor = open(
      directory.isEmpty ? "/" : directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return try body(false) }
    defer { close(descriptor) }
    guard acquire(descriptor) else { return try body(false) }
    // Explicitly: a child that is just being started has the descriptor, too, until its exec.
    defer { flock(descriptor, LOCK_UN) }
    return try body(true)
  }

  private static func acquire(_ descriptor: Int32) -> Bool {
    let end = ContinuousClock.now + limit
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let isBusy = errno == EWOULDBLOCK || errno == EINTR
      guard isBusy, ContinuousClock.now < end else { return false }
      // A wait in flock(2) itself could not be bounded.
      usleep(1000)
    }
    return true
  }
}
