import SwiftProtobuf
import SwiftProtobufPluginLibrary

/// What is written for one service: its methods' names, a client, a protocol to serve it by.
struct ServiceGenerator {
  let service: ServiceDescriptor
  let names: TypeNames.Service
  let file: FileGenerator
  let methods: [MethodGenerator]

  init(_ service: ServiceDescriptor, _ names: TypeNames.Service, _ file: FileGenerator) {
    self.service = service
    self.names = names
    self.file = file
    methods = zip(service.methods, MethodNames(service.methods.map(\.name)).names).map {
      MethodGenerator(
        method: $0, name: $1, request: file.names.type($0.inputType),
        response: file.names.type($0.outputType))
    }
  }

  var isDeprecated: Bool { service.options.deprecated || file.file.options.deprecated }

  func write(to writer: inout SourceWriter) {
    writer.line()
    writeMethods(to: &writer)
    if file.options.client {
      writer.line()
      writeClient(to: &writer)
    }
    if file.options.server {
      writer.line()
      writeProtocol(to: &writer)
      writer.line()
      writeRegistration(to: &writer)
    }
  }

  /// The service's own comment behind a first line that says what this is.
  func document(_ summary: String, in writer: inout SourceWriter) {
    writer.line("/// \(summary)")
    let comment = service.comment
    if !DocumentationLines(comment).lines.isEmpty {
      writer.line("///")
      writer.documentation(comment)
    }
    if isDeprecated { writer.line("@available(*, deprecated)") }
  }

  func document(_ method: MethodGenerator, in writer: inout SourceWriter) {
    let comment = method.method.comment
    if DocumentationLines(comment).lines.isEmpty {
      writer.line("/// `\(service.fullName)/\(method.method.name)`.")
    } else {
      writer.documentation(comment)
    }
  }

  private func writeMethods(to writer: inout SourceWriter) {
    let (access, core) = (file.access, file.names.core)
    writer.line("/// The methods of `\(service.fullName)`, by the names that travel.")
    writer.line("\(access)nonisolated enum \(names.methods) {")
    writer.indented { writer in
      writer.line("\(access)static let serviceName = \"\(service.fullName)\"")
      for method in methods {
        writer.list(
          "\(access)static let \(method.name) = \(core("RPCMethod"))",
          ["service: serviceName", "name: \"\(method.method.name)\""], "", declares: false)
      }
      writer.line()
      writer.line("/// All of them, in the order of the .proto file.")
      let type = "\(access)static let all: [\(core("RPCMethodSignature"))]"
      guard !methods.isEmpty else { return writer.line("\(type) = []") }
      writer.line("\(type) = [")
      writer.indented { writer in
        for method in methods {
          writer.list(
            core("RPCMethodSignature"),
            ["\(names.methods).\(method.name)"] + (method.kind.map { ["kind: .\($0)"] } ?? [])
              + ["request: \(method.request).self", "response: \(method.response).self"],
            methods.count > 1 ? "," : "", declares: false)
        }
      }
      writer.line("]")
    }
    writer.line("}")
  }
}

extension ProvidesSourceCodeLocation {
  /// What stands before a declaration in the .proto file, or behind it when nothing does.
  var comment: String {
    guard let location = sourceCodeInfoLocation else { return "" }
    return location.hasLeadingComments ? location.leadingComments : location.trailingComments
  }
}
