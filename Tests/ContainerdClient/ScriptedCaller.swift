import NIOCore
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

  nonisolated(nonsending) func call(
    _ method: RPCMethod, payload: ByteBuffer, options: RPCCallOptions
  ) async throws(RPCError) -> ByteBuffer {
    let bytes = Array(payload.readableBytesView)
    recorded.withLock { $0.append(Call(path: method.path, bytes: bytes, options: options)) }
    return ByteBuffer(bytes: try answer(method))
  }

  nonisolated(nonsending) func open(
    _ method: RPCMethod, kind: RPCStreamKind, request: ByteBuffer?, options: RPCCallOptions
  ) async throws(RPCError) -> any RPCStream {
    throw RPCError(code: .internal, message: "the script has no streams")
  }
}
