import SwiftProtobufPluginLibrary

/// What `--swift-ttrpc_opt` says. Names and values are those of protoc-gen-swift where it has them,
/// so that both can be given the same ones.
struct GeneratorOptions {
  enum Visibility: String, CaseIterable {
    case `internal`, package, `public`
  }

  enum FileNaming: CaseIterable {
    case fullPath, pathToUnderscores, dropPath
  }

  private(set) var visibility = Visibility.internal
  private(set) var fileNaming = FileNaming.fullPath
  private(set) var client = true
  private(set) var server = true
  private(set) var emptyFiles = false
  private(set) var modules = ProtoFileToModuleMappings()

  static let help = """
      Visibility=Internal|Package|Public   of what is generated; default Internal
      FileNaming=FullPath|PathToUnderscores|DropPath
                                           where it is put; default FullPath
      Client=true|false                    whether clients are written; default true
      Server=true|false                    whether service protocols are; default true
      EmptyFiles=true|false                whether a .proto file without services gives a file, too,
                                           as a build may need that knows its files before; default
                                           false
      ProtoPathModuleMappings=FILE         in which modules messages are: protoc-gen-swift's file
    """

  private static let names = [
    "Visibility", "FileNaming", "Client", "Server", "EmptyFiles", "ProtoPathModuleMappings",
  ]

  init(_ pairs: [(key: String, value: String)]) throws(GeneratorError) {
    for (key, value) in pairs {
      switch key {
      case "Visibility":
        guard let known = Visibility(rawValue: value.lowercased()) else {
          throw GeneratorError(option: key, value: value, allowed: "Internal, Package or Public")
        }
        visibility = known
      case "FileNaming":
        switch value.lowercased().filter({ $0 != "_" }) {
        case "fullpath": fileNaming = .fullPath
        case "pathtounderscores": fileNaming = .pathToUnderscores
        case "droppath": fileNaming = .dropPath
        default:
          throw GeneratorError(
            option: key, value: value, allowed: "FullPath, PathToUnderscores or DropPath")
        }
      case "Client": client = try Self.flag(key, value)
      case "Server": server = try Self.flag(key, value)
      case "EmptyFiles": emptyFiles = try Self.flag(key, value)
      case "ProtoPathModuleMappings": modules = try Self.mappings(value)
      default:
        throw GeneratorError(
          "there is no option \"\(key)\"; the options are \(Self.names.joined(separator: ", "))")
      }
    }
  }

  private static func flag(_ key: String, _ value: String) throws(GeneratorError) -> Bool {
    guard let flag = Bool(value.lowercased()) else {
      throw GeneratorError(option: key, value: value, allowed: "true or false")
    }
    return flag
  }

  private static func mappings(_ path: String) throws(GeneratorError) -> ProtoFileToModuleMappings {
    do {
      return try ProtoFileToModuleMappings(path: path)
    } catch {
      throw GeneratorError("ProtoPathModuleMappings: \(path) cannot be used: \(error)")
    }
  }

  /// `a/b/echo.proto` as the option has it: `a/b/echo.ttrpc.swift`, `a_b_echo.…` or `echo.…`.
  func outputName(of proto: String) -> String {
    let path = proto.hasSuffix(".proto") ? String(proto.dropLast(6)) : proto
    let pieces = path.split(separator: "/", omittingEmptySubsequences: false)
    let name =
      switch fileNaming {
      case .fullPath: path
      case .pathToUnderscores: pieces.joined(separator: "_")
      case .dropPath: String(pieces.last ?? "")
      }
    return name + ".ttrpc.swift"
  }
}

/// Why nothing was generated. protoc shows it after the plugin's name.
struct GeneratorError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }

  init(option: String, value: String, allowed: String) {
    description = "\(option) cannot be \"\(value)\": it is \(allowed)"
  }
}
