import Foundation
import PackagePlugin

/// Generates messages, clients and service protocols from a target's .proto files while it is built,
/// as `ttrpc-protobuf-config.json` in the target says.
@main
struct TTRPCProtobufGenerator: BuildToolPlugin {
  static let configurationName = "ttrpc-protobuf-config.json"

  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    guard let target = target as? SwiftSourceModuleTarget else {
      throw Fault("\(target.name) is no Swift target: there is nothing to generate for")
    }
    // By its path: a target may exclude it, so that it is not asked what the file is for.
    let base = target.directoryURL
    let file = base.appending(path: Self.configurationName)
    guard FileManager.default.fileExists(atPath: file.path) else {
      throw Fault("\(target.name) has no \(Self.configurationName) in its folder")
    }
    let configuration: Configuration
    do {
      configuration = try JSONDecoder().decode(
        Configuration.self, from: try Data(contentsOf: file))
    } catch {
      throw Fault("\(file.path) cannot be read: \(error)")
    }
    let tools = Tools(
      protoc: try Self.protoc(configuration),
      messages: try context.tool(named: "protoc-gen-swift").url,
      services: try context.tool(named: "protoc-gen-swift-ttrpc").url)
    return try configuration.invocations.map {
      try $0.command(tools, from: base, into: context.pluginWorkDirectoryURL)
    }
  }

  /// The configuration's, PROTOC_PATH's, or the first in PATH.
  private static func protoc(_ configuration: Configuration) throws -> URL {
    let environment = ProcessInfo.processInfo.environment
    if let path = configuration.protocPath ?? environment["PROTOC_PATH"] {
      return URL(fileURLWithPath: path)
    }
    for folder in (environment["PATH"] ?? "").split(separator: ":") {
      let path = "\(folder)/protoc"
      if FileManager.default.isExecutableFile(atPath: path) { return URL(fileURLWithPath: path) }
    }
    throw Fault(
      "there is no protoc in PATH: install it (Debian: protobuf-compiler), or name it in PROTOC_PATH"
    )
  }
}

struct Tools {
  let protoc: URL
  let messages: URL
  let services: URL
}

/// Why a target cannot be built.
struct Fault: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
