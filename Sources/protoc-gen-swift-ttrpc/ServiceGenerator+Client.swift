import SwiftProtobuf
import SwiftProtobufPluginLibrary

extension ServiceGenerator {
  func writeClient(to writer: inout SourceWriter) {
    let access = file.access
    let caller = file.names.callerParameter
    document("Calls `\(service.fullName)`.", in: &writer)
    writer.type(
      "\(access)nonisolated struct \(names.client)<\(caller): \(file.names.core("RPCCaller"))>",
      inherits: "Swift.Sendable")
    writer.indented { writer in
      writer.line("\(access)let caller: \(caller)")
      writer.line()
      inlinable(in: &writer)
      writer.line("\(access)init(caller: \(caller)) { self.caller = caller }")
      for method in methods {
        writer.line()
        document(method, in: &writer)
        if method.method.options.deprecated { writer.line("@available(*, deprecated)") }
        inlinable(in: &writer)
        write(method, to: &writer)
      }
    }
    writer.line("}")
  }

  /// A call is specialised for its caller in the module that makes it.
  private func inlinable(in writer: inout SourceWriter) {
    if file.options.visibility != .internal { writer.line("@inlinable") }
  }

  private func write(_ method: MethodGenerator, to writer: inout SourceWriter) {
    let core = file.names.core
    let takesRequest = !method.method.clientStreaming
    let result =
      switch method.kind {
      case "clientStreaming":
        "\(core("RPCClientStreamingCall"))<\(method.request), \(method.response)>"
      case "serverStreaming": "\(core("RPCReader"))<\(method.response)>"
      case "bidirectional":
        "\(core("RPCBidirectionalCall"))<\(method.request), \(method.response)>"
      default: method.response
      }
    writer.list(
      "\(file.access)nonisolated(nonsending) func \(method.name)",
      (takesRequest ? ["_ request: \(method.request)"] : [])
        + ["options: \(core("RPCCallOptions")) = \(core("RPCCallOptions"))()"],
      " async throws(\(core("RPCError"))) -> \(result) {", declares: true)
    writer.indented { writer in
      writer.list(
        "try await caller.\(method.kind ?? "unary")",
        ["\(names.methods).\(method.name)"]
          + (takesRequest ? ["request"] : ["sending: \(method.request).self"])
          + ["returning: \(method.response).self", "options: options"],
        "", declares: false)
    }
    writer.line("}")
  }
}
