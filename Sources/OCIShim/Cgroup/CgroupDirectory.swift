internal import Glibc
internal import LinuxSystem

/// The statistics' files of one cgroup, and how the kernel writes them.
///
/// A file that is not there is a controller, or a kernel, that does not count it.
struct CgroupDirectory: Sendable {
  let path: String

  /// More than the kernel writes: memory.stat of a machine with many nodes has 20 KiB.
  private static let longest = 1 << 20

  var exists: Bool { access(path, F_OK) == 0 }

  func text(_ name: String) -> String? {
    // Gone with its cgroup, or not counted: either is no figure.
    guard let file = try? OwnedDescriptor(opening: path + "/" + name, O_RDONLY),
      let bytes = try? file.read(atMost: Self.longest)
    else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A file with one number in it, or `max`, which is `unlimited`.
  func number(_ name: String, unlimited: UInt64 = .max) -> UInt64? {
    text(name).flatMap { Self.number($0.prefix { !$0.isWhitespace }, unlimited: unlimited) }
  }

  /// A file with one number a line, or several.
  func numbers(_ name: String) -> [UInt64] {
    text(name)?.split(whereSeparator: \.isWhitespace).compactMap { UInt64($0) } ?? []
  }

  /// A file with a name and a number in each line.
  func table(_ name: String) -> [Substring: UInt64] {
    text(name).map { Self.pairs($0.split(separator: "\n").map { $0.split(separator: " ") }) } ?? [:]
  }

  /// The lines of a file, in fields.
  func lines(_ name: String) -> [[Substring]] {
    text(name)?.split(separator: "\n").map { $0.split(separator: " ") } ?? []
  }

  /// What comes between two parts of the names of files here: the page sizes of
  /// `hugetlb.<size>.current`.
  func sizes(_ prefix: String, _ suffix: String) -> [String] {
    guard let directory = try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY),
      let names = try? directory.names()
    else { return [] }
    return names.filter { $0.hasPrefix(prefix) && $0.hasSuffix(suffix) }
      .map { String($0.dropFirst(prefix.count).dropLast(suffix.count)) }
      .filter { !$0.contains(".") }.sorted()
  }

  static func number(_ text: Substring, unlimited: UInt64 = .max) -> UInt64? {
    text == "max" ? unlimited : UInt64(text)
  }

  /// Fields of the form `name=number`.
  static func assignments(_ fields: some Sequence<Substring>) -> [Substring: UInt64] {
    pairs(fields.map { $0.split(separator: "=") })
  }

  private static func pairs(_ pairs: [[Substring]]) -> [Substring: UInt64] {
    var table: [Substring: UInt64] = [:]
    for pair in pairs where pair.count == 2 {
      if let value = number(pair[1]) { table[pair[0]] = value }
    }
    return table
  }
}
