internal import Glibc
internal import LinuxSystem

/// The files that ``AtomicWrite`` writes before it renames them.
enum TemporaryFiles {
  private static let infix = ".hawsepipe-tmp-"

  static func name(for name: String) -> String {
    let random = String(UInt64.random(in: .min ... .max), radix: 16)
    return ".\(name)\(infix)\(String(repeating: "0", count: 16 - random.count))\(random)"
  }

  static func isTemporary(_ name: String) -> Bool {
    guard name.utf8.first == UInt8(ascii: "."), name.utf8.count > infix.utf8.count + 16 else {
      return false
    }
    let random = name.utf8.suffix(16)
    return random.allSatisfy { byte in
      (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    } && name.dropLast(16).hasSuffix(infix)
  }

  /// Removes those whose writer is gone, and returns their names.
  static func sweep(
    in directory: borrowing OwnedDescriptor
  ) throws(SystemError) -> [String] {
    var swept: [String] = []
    for name in try directory.names() where isTemporary(name) {
      do throws(SystemError) {
        let file = try OwnedDescriptor(reading: name, in: directory)
        guard try file.status().st_mode & S_IFMT == S_IFREG, try file.tryLock() else { continue }
        guard unlinkat(directory.number, name, 0) == 0 else { throw .last("unlink") }
        swept.append(name)
      } catch {
        // Renamed by its writer, or swept by somebody else, since the directory was read.
        guard error.errno == ENOENT else { throw error }
      }
    }
    return swept.sorted()
  }
}
