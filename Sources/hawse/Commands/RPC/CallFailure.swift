import RPCCore
import JSON
import TransportCore

/// A call that failed, for people: its status, and what was attached to it.
struct CallFailure: Error, CustomStringConvertible {
  let description: String

  init(_ method: RPCMethod, _ error: RPCError) {
    let details = error.details.map { "; detail: \(MessageJSON.json($0).compact)" }
    description = "\(method): \(error)\(details.joined())"
  }

  /// For programs. `nil` for what is neither the call's nor the connection's failure.
  static func json(_ error: any Error) -> JSONValue? {
    if let error = error as? RPCError {
      return [
        "error": [
          "code": .string("\(error.code)"), "number": .integer(Int64(error.code.rawValue)),
          "message": .string(error.message),
          "details": .array(error.details.map { MessageJSON.json($0) }),
        ]
      ]
    }
    guard let error = error as? TransportError else { return nil }
    return ["error": ["code": .string("\(error.code)"), "message": .string("\(error.advised)")]]
  }
}
