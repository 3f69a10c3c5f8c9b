import SwiftProtobuf
import SwiftProtobufPluginLibrary

extension ServiceGenerator {
  func writeProtocol(to writer: inout SourceWriter) {
    document("Serves `\(service.fullName)`.", in: &writer)
    guard !methods.isEmpty else {
      return writer.line(
        "\(file.access)nonisolated protocol \(names.service): Swift.Sendable {}")
    }
    writer.type("\(file.access)nonisolated protocol \(names.service)", inherits: "Swift.Sendable")
    writer.indented { writer in
      for (index, method) in methods.enumerated() {
        if index > 0 { writer.line() }
        document(method, in: &writer)
        writer.list(
          "nonisolated(nonsending) func \(method.name)", parameters(method),
          " async throws\(method.method.serverStreaming ? "" : " -> \(method.response)")",
          declares: true)
      }
    }
    writer.line("}")
  }

  private func parameters(_ method: MethodGenerator) -> [String] {
    let core = file.names.core
    let request =
      method.method.clientStreaming
      ? "_ requests: \(core("RPCReader"))<\(method.request)>" : "_ request: \(method.request)"
    let responses =
      method.method.serverStreaming
      ? ["responses: \(core("RPCWriter"))<\(method.response)>"] : []
    return [request] + responses + ["context: \(core("RPCServerContext"))"]
  }

  func writeRegistration(to writer: inout SourceWriter) {
    let core = file.names.core
    if isDeprecated { writer.line("@available(*, deprecated)") }
    writer.line("nonisolated extension \(names.service) {")
    writer.indented { writer in
      writer.line("/// Adds all methods of `\(service.fullName)`.")
      writer.line("///")
      writer.line("/// - Parameters:")
      writer.line("///   - execution: where the handlers run.")
      writer.line("///   - exceptions: where those of these methods run instead.")
      writer.list(
        "\(file.access)func register",
        [
          "on registrar: inout some \(core("RPCRegistrar"))",
          "execution: \(core("RPCExecution")) = .pool",
          "except exceptions: [\(core("RPCMethod")): \(core("RPCExecution"))] = [:]",
        ], " {", declares: true)
      writer.indented { writer in
        for method in methods { writeRegistration(of: method, to: &writer) }
      }
      writer.line("}")
    }
    writer.line("}")
  }

  private func writeRegistration(of method: MethodGenerator, to writer: inout SourceWriter) {
    let path = "\(names.methods).\(method.name)"
    let (function, labels) =
      switch method.kind {
      case "clientStreaming": ("registerClientStreaming", ["", "context"])
      case "serverStreaming": ("registerServerStreaming", ["", "responses", "context"])
      case "bidirectional": ("registerBidirectional", ["", "responses", "context"])
      default: ("register", ["", "context"])
      }
    let arguments = labels.enumerated().map { $1.isEmpty ? "$\($0)" : "\($1): $\($0)" }
    writer.list(
      "registrar.\(function)", [path, "execution: exceptions[\(path)] ?? execution"], " {",
      declares: true)
    writer.indented { writer in
      writer.line("try await self.\(method.name)(\(arguments.joined(separator: ", ")))")
    }
    writer.line("}")
  }
}
