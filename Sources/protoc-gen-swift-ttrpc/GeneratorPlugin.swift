import SwiftProtobuf
import SwiftProtobufPluginLibrary

/// What protoc runs for `--swift-ttrpc_out`: clients and service protocols over RPCCore's seam,
/// beside the messages that protoc-gen-swift writes.
@main
struct GeneratorPlugin: CodeGenerator {
  var supportedFeatures: [Google_Protobuf_Compiler_CodeGeneratorResponse.Feature] {
    [.proto3Optional, .supportsEditions]
  }

  // Services look alike in all of them.
  var supportedEditionRange: ClosedRange<Google_Protobuf_Edition> { .proto2 ... .edition2024 }

  func generate(
    files: [FileDescriptor], parameter: any CodeGeneratorParameter,
    protoCompilerContext: any ProtoCompilerContext, generatorOutputs: any GeneratorOutputs
  ) throws {
    let options = try GeneratorOptions(parameter.parsedPairs)
    for file in files where options.emptyFiles || !file.services.isEmpty {
      try generatorOutputs.add(
        fileName: options.outputName(of: file.name),
        contents: FileGenerator(file, options).generated())
    }
  }

  func printHelp() {
    print(
      """
      protoc-gen-swift-ttrpc: writes Swift clients and service protocols for the services of .proto
      files, as NAME.ttrpc.swift. protoc runs it; the messages come from protoc-gen-swift:

        protoc --swift_out=Generated --swift_opt=Visibility=Public \\
          --swift-ttrpc_out=Generated --swift-ttrpc_opt=Visibility=Public echo.proto

      OPTIONS (--swift-ttrpc_opt=NAME=VALUE)
      \(GeneratorOptions.help)
      """)
  }
}
