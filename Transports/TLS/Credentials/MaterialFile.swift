internal import LinuxSystem

#if canImport(Glibc)
  internal import Glibc
#endif

/// What a material was when it was read. Another stamp means that there is something new.
struct FileStamp: Sendable, Hashable {
  private var device: UInt64
  private var inode: UInt64
  private var size: Int64
  private var seconds: Int64
  private var nanoseconds: Int64
  private(set) var mode: UInt32

  init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    seconds = Int64(status.st_mtim.tv_sec)
    nanoseconds = Int64(status.st_mtim.tv_nsec)
    mode = status.st_mode
  }

  /// Of what a path leads to, links followed; nil when there is nothing.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.init(status)
  }
}

/// A material's bytes.
struct MaterialBytes {
  /// The bundle of all CAs of the web has a quarter of this.
  static let limit = 1 << 20

  /// For messages.
  let name: String
  let bytes: [UInt8]
  /// nil for what is no file.
  let stamp: FileStamp?

  /// Blocks for as long as the disk takes.
  ///
  /// - Parameter what: for messages, such as "the certificate".
  init(_ material: TLSMaterial, _ what: String) throws(TLSError) {
    switch material {
    case .pem(let bytes):
      (name, self.bytes, stamp) = ("\(what)'s PEM text", bytes, nil)
    case .file(let path):
      name = path
      do throws(SystemError) {
        // A fifo that nobody writes to must not hold up everything.
        let file = try OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK)
        let status = try file.status()
        guard status.st_mode & S_IFMT == S_IFREG else {
          throw SystemError("open", path, errno: EINVAL)
        }
        stamp = FileStamp(status)
        bytes = try file.read(atMost: Self.limit + 1)
      } catch {
        let why = error.errno == EINVAL ? "it is not a regular file" : errnoText(error.errno)
        throw TLSError(.configuration, "cannot read \(what) \(path): \(why)")
      }
    }
    guard bytes.count <= Self.limit else {
      throw TLSError(.configuration, "\(what) \(name) is larger than \(Self.limit) bytes")
    }
  }
}
