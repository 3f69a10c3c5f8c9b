#if canImport(Glibc)
  internal import Glibc
#endif

/// A socket's file, by its inode: so that nobody else's is removed.
struct UnixSocketFile: Sendable {
  let path: String
  private let device: dev_t
  private let inode: ino_t

  /// nil when it is not there.
  init?(path: String) {
    guard let (device, inode) = Self.identity(of: path) else { return nil }
    self.init(path: path, device: device, inode: inode)
  }

  private init(path: String, device: dev_t, inode: ino_t) {
    self.path = path
    self.device = device
    self.inode = inode
  }

  func renamed(to path: String) -> UnixSocketFile {
    UnixSocketFile(path: path, device: device, inode: inode)
  }

  /// 0, or the negative error number.
  func setMode(_ mode: UInt32) -> Int32 { chmod(path, mode) == 0 ? 0 : -errno }

  /// Removes the file, unless another has taken its place. Others that would just now put theirs
  /// there are waited for, or wait.
  func remove() {
    let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? ""
    // Without the lock, two system calls one after the other are as close as it gets.
    UnixDirectoryLock.withLock(on: directory) { _ in unlink() }
  }

  /// As ``remove()``, by a caller that has the lock or whose name nobody else would take.
  func unlink() {
    guard let (device, inode) = Self.identity(of: path), device == self.device,
      inode == self.inode
    else { return }
    // Gone already, or not to be removed: nothing that a listener on its way out could do.
    _ = Glibc.unlink(path)
  }

  private static func identity(of path: String) -> (dev_t, ino_t)? {
    var status = stat()
    return lstat(path, &status) == 0 ? (status.st_dev, status.st_ino) : nil
  }
}
