import Glibc
import LinuxSystem
import Testing

/// Runs a test in a directory of its own, and removes it afterwards.
func withTemporaryDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
  var template = Array("/tmp/hawsepipe-shimprotocol-XXXXXX".utf8CString)
  let path = try #require(mkdtemp(&template).map { String(cString: $0) })
  defer { removeTree(path) }
  return try body(path)
}

/// A file without regard for how it is written.
func put(_ text: String, at path: String, mode: mode_t = 0o644) throws {
  let file = try #require(fopen(path, "w"))
  fputs(text, file)
  fclose(file)
  try #require(chmod(path, mode) == 0)
}

func mode(of path: String) throws -> mode_t {
  var status = stat()
  try #require(lstat(path, &status) == 0)
  return status.st_mode & 0o7777
}

func names(in path: String) throws -> [String] {
  try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names().sorted()
}

func removeTree(_ path: String) {
  var status = stat()
  guard lstat(path, &status) == 0 else { return }
  if status.st_mode & S_IFMT == S_IFDIR {
    // What cannot be listed cannot be removed either, and is left to the system's own sweep of /tmp.
    for name in (try? names(in: path)) ?? [] { removeTree("\(path)/\(name)") }
    rmdir(path)
  } else {
    unlink(path)
  }
}
