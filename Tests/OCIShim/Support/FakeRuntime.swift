import Glibc
import LinuxSystem
import Testing

@testable import OCIShim

/// A directory of the test's own, removed at its end.
final class TemporaryDirectory: Sendable {
  let path: String

  init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/hawse-oci-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { Self.remove(path) }

  func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws {
    let file = try OwnedDescriptor(
      opening: "\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    try file.write(Array(text.utf8))
    try file.setMode(mode)
  }

  func read(_ name: String) -> String? {
    // Not there: nil.
    guard let file = try? OwnedDescriptor(opening: "\(path)/\(name)", O_RDONLY),
      let bytes = try? file.read(atMost: 1 << 20)
    else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }

  func names() throws -> [String] {
    try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names().sorted()
  }

  private static func remove(_ path: String) {
    if let directory = try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
      let names = try? directory.names()
    {
      for name in names { remove("\(path)/\(name)") }
      rmdir(path)
    } else {
      unlink(path)
    }
  }
}

/// A runtime that is a shell script: `$log`, `$op` and `$id` are set, and `$bundle`, `$work` and `$pidfile`
/// where they are given.
struct FakeRuntime {
  let directory: TemporaryDirectory
  var options = RuntimeOptions()

  init(_ body: String) throws {
    directory = try TemporaryDirectory()
    try directory.write(
      "runtime",
      """
      #!/bin/sh
      here=${0%/*}
      echo "$*" >> "$here/calls"
      op= ; log= ; pidfile= ; bundle= ; id= ; work=
      while [ $# -gt 0 ]; do
        case "$1" in
          --root|--log-format|--process|--console-socket|--image-path|--parent-path) shift ;;
          --work-path) shift; work=$1 ;;
          --log) shift; log=$1 ;;
          --pid-file) shift; pidfile=$1 ;;
          --bundle) shift; bundle=$1 ;;
          --format) shift ;;
          --*) ;;
          *) if [ -z "$op" ]; then op=$1; elif [ -z "$id" ]; then id=$1; else signal=$1; fi ;;
        esac
        shift
      done
      fail() { echo "{\\"level\\":\\"error\\",\\"msg\\":\\"$1\\"}" >> "$log"; exit 1; }
      \(body)

      """, mode: 0o755)
    options.binaryName = "\(directory.path)/runtime"
    options.root = "\(directory.path)/root"
    options.commandTimeout = .seconds(60)
  }

  var runtime: OCIRuntime {
    OCIRuntime(options: options, namespace: "ns", directory: directory.path)
  }

  var calls: [String] {
    (directory.read("calls") ?? "").split(separator: "\n").map(String.init)
  }
}
