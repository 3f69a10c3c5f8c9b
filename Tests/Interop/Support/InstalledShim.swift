import Glibc
import ProcessSupervision
import Testing

/// What Scripts/shim makes, made once a test run: nothing is done where nothing has changed.
enum InstalledShim {
  private static let root =
    "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
  private static let making = Task {
    _ = try await shell("\(root)/Scripts/shim \(root)/.build/shim", timeout: .seconds(1100))
  }

  /// The shim's path.
  static func made() async throws -> String {
    try await making.value
    return "\(root)/.build/shim/containerd-shim-hawsepipe-v1"
  }

  /// - Returns: what it printed.
  static func shell(_ line: String, timeout: Duration = .seconds(60)) async throws -> String {
    // Swift is wherever the user has it.
    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { (name: String) -> String? in
      getenv(name).map { "\(name)=\(String(cString: $0))" }
    }
    let result = try await Command(
      "/bin/sh", arguments: ["-c", line], environment: environment, grouping: .newGroup
    ).run(timeout: timeout)
    let words = String(decoding: result.standardError.suffix(2000), as: UTF8.self)
    #expect(result.status.isSuccess, "\(line) \(result.status): \(words)")
    return String(decoding: result.standardOutput, as: UTF8.self)
  }
}
