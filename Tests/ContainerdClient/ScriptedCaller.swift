import RPCCore
import SwiftProtobuf
import Synchronization

/// A caller without a connection: keeps what it is asked, and answers what the test says.
final class ScriptedCaller: RPCCaller {
  struct Call: Sendable {
    var path: String
    var bytes: [UInt8]
    var options: RPCCallOptions
  }

  private let answer: @Sendable (RPCMethod) throws(RPCError) -> [UInt8]
  private let recorded = Mutex<[Call]>([])

  init(_ answer: @escaping @Sendable (RPCMethod) throws(RPCError) -> [UInt8] = { _ in [] }) {
    self.answer = answer
  }

  convenience init(answering message: any Message) throws {
    let bytes: [UInt8] = try message.serializedBytes()
    self.init { _ in bytes }
  }

  var calls: [Call] { recorded.withLock { $0 } }

  nonisolated(nonsending) func unary<Request: Message, Response: Message>(
    _ method: RPCMethod, _ request: Request, returning response: Response.Type,
    options: RPCCallOptions
  ) async throws(RPCError) -> Response {
    do {
      let bytes: [UInt8] = try request.serializedBytes()
      recorded.withLock { $0.append(Call(path: method.path, bytes: bytes, options: options)) }
      return try Response(serializedBytes: answer(method))
    } catch let error as RPCError {
      throw error
    } catch {
      throw RPCError(code: .internal, message: "the script is wrong", reason: .encoding)
    }
  }
}
