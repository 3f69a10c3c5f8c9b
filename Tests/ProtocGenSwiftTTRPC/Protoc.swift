import Foundation
import ProcessSupervision
import Testing

/// protoc with our plugin, which the package manager puts beside the tests.
struct Protoc {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
  static let protos = folder.appending(path: "Protos").path

  struct Result {
    var status: ProcessSupervision.ExitStatus
    var error: String
    /// By their path below the output folder.
    var files: [String: String]
  }

  static func run(_ options: String, _ files: String..., protos: String = protos) async throws
    -> Result
  {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let plugin = URL(filePath: own).deletingLastPathComponent()
      .appending(path: "protoc-gen-swift-ttrpc").path
    let out = FileManager.default.temporaryDirectory
      .appending(path: "hawsepipe-protoc-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: out, withIntermediateDirectories: true)
    defer {
      #expect(throws: Never.self) { try FileManager.default.removeItem(at: out) }
    }
    let output = try await Command(
      "/usr/bin/protoc",
      arguments: [
        "--proto_path=\(protos)", "--plugin=protoc-gen-swift-ttrpc=\(plugin)",
        "--swift-ttrpc_opt=\(options)", "--swift-ttrpc_out=\(out.path)",
      ] + files
    ).run(timeout: .seconds(120))
    return Result(
      status: output.status, error: String(decoding: output.standardError, as: UTF8.self),
      files: try contents(of: out))
  }

  private static func contents(of folder: URL) throws -> [String: String] {
    var files: [String: String] = [:]
    for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path)
    where path.hasSuffix(".swift") {
      files[path] = try String(contentsOf: folder.appending(path: path), encoding: .utf8)
    }
    return files
  }
}
