import Foundation
import ProcessSupervision
import Testing

@Suite("Generated files are the golden ones, byte for byte")
struct GoldenTests {
  /// One line of golden.txt: a .proto file and the options it is generated with.
  struct Entry: CustomTestStringConvertible {
    var file: String
    var options: String
    var testDescription: String { "\(file) \(options)" }
  }

  static var entries: [Entry] {
    get throws {
      let list = try String(
        contentsOf: Protoc.folder.appending(path: "golden.txt"), encoding: .utf8)
      return list.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
        let words = line.split(separator: " ")
        return Entry(file: String(words[0]), options: String(words[1]))
      }
    }
  }

  @Test(arguments: try entries)
  func theOutputIsTheGoldenFile(_ entry: Entry) async throws {
    let result = try await Protoc.run(entry.options, entry.file)
    #expect(result.status.isSuccess, "\(result.error)")
    for (path, text) in result.files {
      let golden = Protoc.folder.appending(path: "Generated").appending(path: path)
      #expect(
        try text == String(contentsOf: golden, encoding: .utf8),
        "\(path) has changed: if that was meant, run Scripts/generate")
    }
    #expect(result.files.count == (entry.file == "shared/parts.proto" ? 0 : 1))
  }

  @Test func everyGoldenFileIsListed() async throws {
    var made: Set<String> = []
    for entry in try Self.entries {
      made.formUnion(try await Protoc.run(entry.options, entry.file).files.keys)
    }
    let kept = try FileManager.default.contentsOfDirectory(
      atPath: Protoc.folder.appending(path: "Generated").path)
    #expect(Set(kept.filter { $0.hasSuffix(".ttrpc.swift") }) == made)
  }
}

@Suite("The plugin's options")
struct OptionTests {
  @Test(arguments: [
    ("FileNaming=FullPath", "one/side/client.ttrpc.swift"),
    ("FileNaming=Path_To_Underscores", "one_side_client.ttrpc.swift"),
    ("FileNaming=dropPath", "client.ttrpc.swift"),
    ("", "one/side/client.ttrpc.swift"),
  ])
  func fileNamingSaysWhereAFileIsPut(_ options: String, _ path: String) async throws {
    let result = try await Protoc.run(options, "one/side/client.proto")
    #expect(result.files.keys.sorted() == [path], "\(result.error)")
  }

  @Test(arguments: [
    ("Client=true,Server=true", true, true), ("Client=false", false, true),
    ("Server=FALSE", true, false), ("Client=false,Server=false", false, false),
  ])
  func halvesCanBeLeftOut(_ options: String, _ client: Bool, _ server: Bool) async throws {
    let result = try await Protoc.run(options, "kinds.proto")
    let text = try #require(result.files["kinds.ttrpc.swift"], "\(result.error)")
    #expect(text.contains("struct Test_Kinds_V1_CalculatorClient<") == client)
    #expect(text.contains("protocol Test_Kinds_V1_CalculatorService:") == server)
    #expect(text.contains("enum Test_Kinds_V1_CalculatorMethods {"))
  }

  @Test(arguments: [
    (
      "Visibility=Everybody",
      "Visibility cannot be \"Everybody\": it is Internal, Package or Public"
    ),
    ("FileNaming=x", "FileNaming cannot be \"x\": it is FullPath, PathToUnderscores or DropPath"),
    ("Client=yes", "Client cannot be \"yes\": it is true or false"),
    ("Sever=true", "there is no option \"Sever\"; the options are Visibility, FileNaming, Client,"),
    (
      "ProtoPathModuleMappings=/nonexistent", "ProtoPathModuleMappings: /nonexistent cannot be used"
    ),
  ])
  func whatIsNotUnderstoodIsRefused(_ options: String, _ message: String) async throws {
    let result = try await Protoc.run(options, "kinds.proto")
    #expect(!result.status.isSuccess)
    #expect(result.error.contains(message), "\(result.error)")
    #expect(result.files.isEmpty)
  }

  @Test func aFileWithoutServicesGivesOneOnlyWhenAsked() async throws {
    #expect(try await Protoc.run("EmptyFiles=false", "shared/parts.proto").files.isEmpty)
    let result = try await Protoc.run("EmptyFiles=true", "shared/parts.proto")
    let text = try #require(result.files["shared/parts.ttrpc.swift"], "\(result.error)")
    #expect(text.hasSuffix("\n// There is no service in it.\n"))
  }

  @Test func messagesOfAnotherModuleAreImported() async throws {
    let mappings = FileManager.default.temporaryDirectory
      .appending(path: "hawsepipe-mappings-\(UUID().uuidString)")
    try #"mapping { module_name: "Parts" proto_file_path: "shared/parts.proto" }"#
      .write(to: mappings, atomically: true, encoding: .utf8)
    defer {
      #expect(throws: Never.self) { try FileManager.default.removeItem(at: mappings) }
    }
    let result = try await Protoc.run(
      "Visibility=Package,ProtoPathModuleMappings=\(mappings.path)", "kinds.proto")
    let text = try #require(result.files["kinds.ttrpc.swift"], "\(result.error)")
    #expect(text.contains("package import Parts\n"))
    #expect(text.contains("RPCCore.RPCReader<Parts.Test_Shared_Part.Piece>"))
  }
}
