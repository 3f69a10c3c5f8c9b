import Foundation
import Glibc
import LinuxSystem

/// A directory of files that only their owner may read.
struct PrivateFolder: ~Copyable {
  private let path: String
  private let directory: OwnedDescriptor

  /// Makes it, 0700, when it is not there.
  init(_ path: String) throws {
    self.path = path
    directory = try Self.open(path)
  }

  private static func open(_ path: String) throws -> OwnedDescriptor {
    let number = mkdir(path, 0o700) == 0 ? 0 : errno
    guard number == 0 || number == EEXIST else {
      throw FolderError(
        "cannot make the directory \(path): \(errnoText(number))",
        hint: number == ENOENT ? "make the directory above it" : "choose another directory")
    }
    do {
      let directory = try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY)
      try check(try directory.ownership(), path)
      return directory
    } catch let error as SystemError {
      throw FolderError(
        "cannot use \(path): \(errnoText(error.errno))", hint: "choose another directory")
    }
  }

  private static func check(
    _ ownership: (uid: UInt32, permissions: UInt32), _ path: String
  ) throws {
    guard ownership.uid == geteuid() else {
      throw FolderError(
        "the directory \(path) is of uid \(ownership.uid)",
        hint: "choose a directory of your own")
    }
    guard ownership.permissions & 0o022 == 0 else {
      throw FolderError(
        "others may write to the directory \(path), and could replace its keys",
        hint: "chmod 700 \(path), or choose a directory that is not there yet")
    }
  }

  /// Writes all of them or, without `force` and when one is there, none. A file has its old bytes or
  /// its new ones, never a part.
  func write(_ files: [TrialMaterial.File], force: Bool) throws {
    if !force {
      let there = files.filter {
        faccessat(directory.number, $0.name, F_OK, AT_SYMLINK_NOFOLLOW) == 0
      }
      guard there.isEmpty else { throw exists(there.map(\.name)) }
    }
    var temporary: [String] = []
    defer {
      // Those that were renamed are not there any more, and of those that were linked this is one
      // name of two.
      for name in temporary { unlinkat(directory.number, name, 0) }
    }
    for file in files {
      let name = ".\(file.name).\(getpid())"
      temporary.append(name)
      try writeOne(name, file.bytes)
    }
    for (index, file) in files.enumerated() {
      let (at, name) = (directory.number, temporary[index])
      // A link replaces nothing, whoever was faster.
      let result =
        force ? renameat(at, name, at, file.name) : linkat(at, name, at, file.name, 0)
      guard result != 0 else { continue }
      let number = errno
      if !force {
        for made in files[..<index] { unlinkat(at, made.name, 0) }
        if number == EEXIST { throw exists([file.name]) }
      }
      throw failure(file.name, number)
    }
  }

  private func writeOne(_ name: String, _ bytes: [UInt8]) throws {
    do {
      let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW
      let file = try OwnedDescriptor(opening: name, in: directory, flags, mode: 0o600)
      // Whatever the umask took away.
      try file.setMode(0o600)
      try file.write(bytes)
      try file.synchronize()
    } catch {
      throw failure(name, error.errno)
    }
  }

  private func failure(_ name: String, _ number: Int32) -> FolderError {
    FolderError(
      "cannot write \(path)/\(name): \(errnoText(number))", hint: "choose another directory")
  }

  private func exists(_ names: [String]) -> FolderError {
    FolderError(
      "\(path) has \(names.joined(separator: ", ")) already",
      hint: "use --force to replace what is there, or another directory")
  }
}

struct FolderError: Error, CustomStringConvertible {
  var message: String
  var hint: String

  init(_ message: String, hint: String) {
    self.message = message
    self.hint = hint
  }

  var description: String { "\(message) (\(hint))" }
}
