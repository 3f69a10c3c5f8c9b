internal import Glibc
internal import LinuxSystem

/// A state directory held by one controller: while this is held, no other process gets it.
///
/// The lock ends with the process at the latest.
public final class ControllerHold: Sendable {
  private let path: String
  private let file: OwnedDescriptor

  /// - Parameter state: the state directory, which must be there. The lock is `control/lock` in it.
  /// - Throws: `inUse`, which names who holds it; `storage`.
  public init(state: String) throws(SandboxControlError) {
    let directory = "\(state)/control"
    path = "\(directory)/lock"
    do throws(SystemError) {
      guard mkdir(directory, 0o700) == 0 || errno == EEXIST else { throw .last("mkdir", directory) }
      file = try OwnedDescriptor(opening: path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
    } catch {
      throw SandboxControlError(
        code: .storage, message: "the state directory \(state) cannot be held", cause: error)
    }
    do throws(SystemError) {
      guard try file.tryLock() else { throw SystemError("flock", path, errno: EWOULDBLOCK) }
    } catch {
      if error.errno == EWOULDBLOCK {
        throw SandboxControlError(
          code: .inUse,
          message: "the state directory \(state) is held by \(Self.holder(path)), which controls "
            + "its sandboxes",
          hint: "Stop it first, or give this controller a state directory of its own.")
      }
      throw SandboxControlError(
        code: .storage, message: "the state directory \(state) cannot be held", cause: error)
    }
    // For the message of whoever comes second; not what the lock rests on.
    let pid = Array("\(getpid())\n".utf8)
    if ftruncate(file.number, 0) == 0 { _ = pwrite(file.number, pid, pid.count, 0) }
  }

  private static func holder(_ path: String) -> String {
    // Who holds it is news; that it is held is the point.
    guard let bytes = try? SmallFile.read(path, limit: 16),
      let pid = Int32(String(decoding: bytes.dropLast(), as: UTF8.self))
    else { return "another process" }
    return "process \(pid)"
  }
}
