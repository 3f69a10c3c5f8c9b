import Glibc

/// The host's files and process table, read plainly: what cannot be read is empty, since processes
/// and cgroups may vanish while they are looked at.
enum HostFiles {
  /// A program of this package: beside the test executable, where the package manager puts it.
  static func product(_ name: String) -> String {
    let own = link("/proc/self/exe")
    return own[..<(own.lastIndex(of: "/") ?? own.endIndex)] + "/\(name)"
  }

  /// Our shim: the one that `HAWSEPIPE_SHIM` names, by which the shim as it is installed is tested, or else
  /// the one that was built with the tests.
  static let ourShim =
    getenv("HAWSEPIPE_SHIM").map { String(cString: $0) } ?? product("containerd-shim-hawsepipe-v1")

  static func bytes(_ path: String) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var all: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 * 1024)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return all }
      all += chunk[..<count]
    }
  }

  static func text(_ path: String) -> String { String(decoding: bytes(path), as: UTF8.self) }

  static func lines(_ path: String) -> [Substring] { text(path).split(separator: "\n") }

  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }

  /// The type bits of a file's mode; 0 when there is no such file.
  static func type(_ path: String) -> mode_t {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : 0
  }

  static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  static func link(_ path: String) -> String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink(path, &buffer, buffer.count)
    return count < 0
      ? "" : String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Everything below a directory, without following links: directories before what is in them.
  static func tree(_ directory: String) -> [String] {
    names(in: directory).flatMap { name -> [String] in
      let path = "\(directory)/\(name)"
      return type(path) == S_IFDIR ? [path] + tree(path) : [path]
    }
  }

  static var pids: [Int32] { names(in: "/proc").compactMap { Int32($0) } }
}
