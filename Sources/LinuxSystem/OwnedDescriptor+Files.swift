package import Glibc

/// Files and directories by their descriptor. All of it blocks for as long as the disk takes.
extension OwnedDescriptor {
  /// Who owns it, and who else may do what with it.
  ///
  /// For programs that import Foundation, where the members of `stat` belong to another module in a
  /// release build.
  package func ownership() throws(SystemError) -> (uid: UInt32, permissions: UInt32) {
    let status = try status()
    return (uid: status.st_uid, permissions: status.st_mode & 0o7777)
  }

  package func status() throws(SystemError) -> stat {
    var status = stat()
    guard fstat(number, &status) == 0 else { throw .last("fstat") }
    return status
  }

  /// Writes all of it.
  package func write(_ bytes: [UInt8]) throws(SystemError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = retryingInterrupts {
        rest.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
      }
      guard written >= 0 else { throw .last("write") }
      rest = rest.dropFirst(written)
    }
  }

  /// At most `limit` bytes, from where the file stands.
  package func read(atMost limit: Int) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: min(limit, 64 << 10))
    while bytes.count < limit {
      let wanted = min(chunk.count, limit - bytes.count)
      let count = retryingInterrupts { Glibc.read(number, &chunk, wanted) }
      guard count >= 0 else { throw .last("read") }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    return bytes
  }

  package func setMode(_ mode: mode_t) throws(SystemError) {
    guard fchmod(number, mode) == 0 else { throw .last("fchmod") }
  }

  package func synchronize() throws(SystemError) {
    guard retryingInterrupts({ fsync(number) }) == 0 else { throw .last("fsync") }
  }

  /// False when somebody else holds the lock.
  package func tryLock() throws(SystemError) -> Bool {
    if retryingInterrupts({ flock(number, LOCK_EX | LOCK_NB) }) == 0 { return true }
    guard errno == EWOULDBLOCK else { throw .last("flock") }
    return false
  }

  /// The names in a directory but `.` and `..`, in no order.
  package func names() throws(SystemError) -> [String] {
    // A description of its own, as reading moves it; closedir closes what fdopendir was given.
    let copy = try OwnedDescriptor(opening: ".", in: self, O_RDONLY | O_DIRECTORY)
    guard let stream = fdopendir(copy.number) else { throw .last("fdopendir") }
    _ = copy.release()
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw .last("readdir") }
    return names
  }
}

/// What a symbolic link holds.
package func linkTarget(_ path: String) throws(SystemError) -> String {
  var text = [CChar](repeating: 0, count: Int(PATH_MAX))
  let count = readlink(path, &text, text.count)
  guard count >= 0 else { throw .last("readlink", path) }
  guard count < text.count else { throw SystemError("readlink", path, errno: ENAMETOOLONG) }
  return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
}
