internal import Glibc

/// The mounts that this process sees, from `/proc/self/mountinfo` (proc(5)).
package struct MountTable {
  /// The mount points in the order of the table: a mount comes after the one that it lies on.
  package private(set) var points: [String]

  package static func current() throws(SystemError) -> MountTable {
    // A host with ten thousand mounts has a table of a few megabytes.
    MountTable(parsing: try SmallFile.read("/proc/self/mountinfo", limit: 256 << 20))
  }

  init(parsing bytes: [UInt8]) {
    points = bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
      let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
      return fields.count > 4 ? Self.unescaped(fields[4]) : nil
    }
  }

  /// The mount points at a path or below it, the deepest first; one that has several mounts on it is
  /// there as often.
  package func points(inside directory: String) -> [String] {
    points.filter { PathText.isInside($0, directory) }.reversed()
  }

  /// Blanks, tabs, newlines and backslashes stand there as three octal digits.
  private static func unescaped(_ field: ArraySlice<UInt8>) -> String {
    var bytes: [UInt8] = []
    var rest = field
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == UInt8(ascii: "\\"), digits.count == 3,
        let escaped = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
      {
        bytes.append(escaped)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
