internal import Glibc

/// Paths as text: nothing here looks at the file system, but for `resolved`.
package enum PathText {
  /// The components of a path without empty ones and `.`.
  package static func components(_ path: String) -> [Substring] {
    path.split(separator: "/").filter { $0 != "." }
  }

  /// An absolute path without `//`, `/./` and a slash at the end; nil if it is relative, has a `..`
  /// or a NUL.
  package static func cleaned(_ path: String) -> String? {
    guard path.hasPrefix("/"), !path.utf8.contains(0) else { return nil }
    let parts = components(path)
    guard !parts.contains("..") else { return nil }
    return "/" + parts.joined(separator: "/")
  }

  /// The directory and the name of a cleaned path; nil for `/`.
  package static func split(_ path: String) -> (directory: String, name: String)? {
    guard let slash = path.lastIndex(of: "/"), path != "/" else { return nil }
    let directory = path[..<slash]
    return (directory.isEmpty ? "/" : String(directory), String(path[path.index(after: slash)...]))
  }

  /// Whether a cleaned path is the directory itself or something below it.
  package static func isInside(_ path: String, _ directory: String) -> Bool {
    directory == "/" || path == directory || path.hasPrefix(directory + "/")
  }

  /// The path as the kernel sees it, without any link.
  package static func resolved(_ path: String) throws(SystemError) -> String {
    guard let real = realpath(path, nil) else { throw SystemError.last("realpath", path) }
    defer { free(real) }
    return String(cString: real)
  }
}
