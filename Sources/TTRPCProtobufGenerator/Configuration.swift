import Foundation
import PackagePlugin

/// What `ttrpc-protobuf-config.json` says.
struct Configuration: Decodable {
  /// protoc, if not the one of PROTOC_PATH or PATH.
  var protocPath: String?
  var invocations: [Invocation]
}

/// One run of protoc, over files with the same options.
struct Invocation: Decodable {
  /// Paths below `protoPath`.
  var protoFiles: [String]
  /// The folder that imports start at, below the target's; the target's own if there is none.
  var protoPath: String?
  /// Further folders with files to import, absolute or below the target's.
  var importPaths: [String]?
  /// `Internal`, `Package` or `Public`; `Internal` if not said.
  var visibility: String?
  /// Whether clients are generated; they are if not said.
  var client: Bool?
  /// Whether service protocols are generated; they are if not said.
  var server: Bool?
  /// Whether messages are generated, as protoc-gen-swift does; they are if not said. Another plugin,
  /// such as swift-protobuf's own, may do it instead.
  var messages: Bool?

  func command(_ tools: Tools, from base: URL, into output: URL) throws -> Command {
    let root = protoPath.map { base.appending(path: $0) } ?? base
    let imports = (importPaths ?? []).map { path in
      path.hasPrefix("/") ? URL(fileURLWithPath: path) : base.appending(path: path)
    }
    let common = "Visibility=\(visibility ?? "Internal"),FileNaming=PathToUnderscores"
    var arguments =
      ([root] + imports).map { "--proto_path=\($0.path)" } + [
        "--plugin=protoc-gen-swift-ttrpc=\(tools.services.path)",
        // The files of a build are known before protoc runs: each .proto file gives one.
        "--swift-ttrpc_opt=\(common),EmptyFiles=true,"
          + "Client=\(client ?? true),Server=\(server ?? true)",
        "--swift-ttrpc_out=\(output.path)",
      ]
    var endings = [".ttrpc.swift"]
    if messages ?? true {
      arguments += [
        "--plugin=protoc-gen-swift=\(tools.messages.path)",
        "--swift_opt=\(common),UseAccessLevelOnImports=true", "--swift_out=\(output.path)",
      ]
      endings.append(".pb.swift")
    }
    let results = try protoFiles.flatMap { file in
      guard file.hasSuffix(".proto") else { throw Fault("\(file) does not end in .proto") }
      let name = file.dropLast(6).split(separator: "/").joined(separator: "_")
      return endings.map { output.appending(path: name + $0) }
    }
    return .buildCommand(
      displayName: "Generating from \(protoFiles.joined(separator: ", "))",
      executable: tools.protoc, arguments: arguments + protoFiles,
      inputFiles: protoFiles.map { root.appending(path: $0) } + [tools.messages, tools.services],
      outputFiles: results)
  }
}
