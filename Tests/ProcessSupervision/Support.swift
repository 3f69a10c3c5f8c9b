import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// Against hangs only; nothing here takes a noticeable part of it.
let generous = Duration.seconds(120)

func shell(_ script: String, _ arguments: [String] = []) -> Command {
  Command(
    "/bin/sh", arguments: ["-c", script, "sh"] + arguments, environment: ["PATH=/usr/bin:/bin"])
}

/// A directory of the test's own, gone afterwards.
func withTemporaryDirectory<Value>(
  _ body: (String) async throws -> Value
) async throws -> Value {
  var template = Array("/tmp/hawse-process-XXXXXX".utf8CString)
  try #require(mkdtemp(&template) != nil)
  let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  defer {
    // The tests leave plain files and no directories in it.
    for name in entries(of: path) { unlink("\(path)/\(name)") }
    rmdir(path)
  }
  return try await body(path)
}

func entries(of path: String) -> [String] {
  // What is not there has none.
  (try? OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY).names()) ?? []
}

func writeFile(_ path: String, _ text: String, mode: mode_t = 0o644) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
  try #require(descriptor >= 0)
  defer { close(descriptor) }
  let bytes = Array(text.utf8)
  try #require(write(descriptor, bytes, bytes.count) == bytes.count)
}

func openFile(_ path: String, _ flags: Int32 = O_RDONLY) throws -> Int32 {
  let descriptor = open(path, flags | O_CLOEXEC)
  try #require(descriptor >= 0)
  return descriptor
}

extension CapturedOutput {
  var text: String { String(decoding: standardOutput, as: UTF8.self) }
  var lines: [String] { text.split(separator: "\n").map(String.init) }
}

/// The code of the error that the body throws.
func code(
  of body: () async throws(ProcessError) -> Void
) async -> ProcessError.Code? {
  do {
    try await body()
    return nil
  } catch {
    return error.code
  }
}
