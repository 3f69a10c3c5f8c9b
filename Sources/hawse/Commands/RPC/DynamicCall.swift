import NIOCore
import RPCCore
import JSON
import SwiftProtobuf

/// A call of a method whose types are known only while the program runs.
struct DynamicCall: Sendable {
  let signature: RPCMethodSignature
  /// Encoded; one of them unless the caller's side is a stream.
  private let requests: [ByteBuffer]
  private let options: RPCCallOptions

  /// - Throws: `MessageJSON.Fault` for a request that is not one of the method's.
  init(
    _ signature: RPCMethodSignature, _ requests: [JSONValue], _ options: RPCCallOptions
  ) throws {
    self.signature = signature
    self.options = options
    self.requests = try requests.map { json in
      let bytes: [UInt8] = try MessageJSON.message(json, as: signature.request).serializedBytes()
      return ByteBuffer(bytes: bytes)
    }
  }

  /// Makes the call and hands each answer on as it comes.
  func run(
    over caller: some RPCCaller, _ emit: @escaping @Sendable (JSONValue) -> Void
  ) async throws {
    let method = signature.method
    guard let kind = signature.kind else {
      return emit(
        try shown(
          try await caller.call(method, payload: requests[0], options: options)))
    }
    let isMany = signature.takesMany
    let stream = try await caller.open(
      method, kind: kind, request: isMany ? nil : requests[0], options: options)
    try await withTaskCancellationHandler {
      try await withThrowingTaskGroup(of: Void.self) { group in
        if isMany {
          group.addTask {
            do {
              for request in requests { try await stream.send(request) }
              try await stream.finishSending()
            } catch let error as RPCError {
              // The call has ended before its requests have; the receiving side has the reason.
              if error.reason == .oversize || error.reason == .encoding { throw error }
            }
          }
        }
        group.addTask {
          while let answer = try await stream.next() { emit(try shown(answer)) }
        }
        do {
          try await group.waitForAll()
        } catch {
          stream.cancel()
          throw error
        }
      }
    } onCancel: {
      stream.cancel()
    }
  }

  private func shown(_ answer: ByteBuffer) throws -> JSONValue {
    let bytes = Array(answer.readableBytesView)
    let message: any Message
    do {
      message = try signature.response.init(serializedBytes: bytes)
    } catch {
      throw RPCError(
        code: .internal,
        message: "the answer is not a \(signature.response.protoMessageName)", reason: .encoding,
        cause: error)
    }
    return try MessageJSON.json(message)
  }
}

extension RPCMethodSignature {
  /// Whether the caller's side is a stream.
  var takesMany: Bool { kind == .clientStreaming || kind == .bidirectional }

  var requestText: String { (takesMany ? "stream " : "") + request.protoMessageName }

  var responseText: String {
    let isStream = kind == .serverStreaming || kind == .bidirectional
    return (isStream ? "stream " : "") + response.protoMessageName
  }
}
