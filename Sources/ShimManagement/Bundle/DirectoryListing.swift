internal import Glibc

/// The names in a directory.
enum DirectoryListing {
  /// All names but `.` and `..`, in no order. The last component must not be a link.
  static func names(in path: String) throws(FileSystemError) -> [String] {
    let directory = try OwnedDescriptor.directory(path)
    return try names(in: directory, path: path)
  }

  static func names(
    in directory: borrowing OwnedDescriptor, path: String
  ) throws(FileSystemError) -> [String] {
    // A description of its own, as closedir closes what fdopendir was given and reading moves it.
    let copy = openat(directory.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard copy >= 0 else { throw FileSystemError("open", path) }
    guard let stream = fdopendir(copy) else {
      let error = FileSystemError("fdopendir", path)
      close(copy)
      throw error
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) {
          String(cString: $0)
        }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw FileSystemError("readdir", path) }
    return names
  }
}
