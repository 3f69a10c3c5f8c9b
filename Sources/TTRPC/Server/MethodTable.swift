import Glibc
import NIOCore
import RPCCore

/// The methods that a server has, found by the bytes that stand in a request: no string is made.
struct MethodTable: Sendable {
  struct Entry: Sendable {
    let method: RPCMethod
    let execution: RPCExecution
    let handler: Handler

    /// Whether a request begins with this method's names, as its envelope has them when the usual
    /// encoders write it: quicker than looking them up.
    func leads(_ request: RequestEnvelope) -> Bool {
      let names = method.envelopePrefix
      // Names that came again behind these would count instead.
      guard request.method.upperBound == names.count, request.service.upperBound <= names.count
      else { return false }
      return request.bytes.withUnsafeReadableBytes { bytes in
        names.withUnsafeBytes { names in
          guard let known = names.baseAddress, let sent = bytes.baseAddress else { return false }
          return memcmp(known, sent, names.count) == 0
        }
      }
    }
  }

  enum Handler: Sendable {
    case unary(RPCUnaryHandler)
    case stream(RPCStreamKind, RPCStreamHandler)
  }

  private var entries: [UInt64: [Entry]] = [:]
  private var services: Set<String> = []

  /// A method that is there already is replaced.
  mutating func insert(_ entry: Entry) {
    services.insert(entry.method.service)
    let hash = Self.hash(Array(entry.method.service.utf8), Array(entry.method.name.utf8))
    entries[hash, default: []].removeAll { $0.method == entry.method }
    entries[hash, default: []].append(entry)
  }

  /// - Throws: Unimplemented, in the words that Go's server has for it.
  func find(_ request: RequestEnvelope) throws(RPCError) -> Entry {
    let found = request.bytes.withUnsafeReadableBytes { bytes -> Entry? in
      let service = UnsafeRawBufferPointer(rebasing: bytes[request.service])
      let method = UnsafeRawBufferPointer(rebasing: bytes[request.method])
      return entries[Self.hash(service, method)]?.first {
        $0.method.service.utf8.elementsEqual(service) && $0.method.name.utf8.elementsEqual(method)
      }
    }
    if let found { return found }
    let service = request.serviceName
    guard services.contains(service) else {
      throw RPCError(code: .unimplemented, message: "service \(service)")
    }
    throw RPCError(code: .unimplemented, message: "method \(request.methodName)")
  }

  /// FNV-1a. The keys are the author's own, so nobody can choose them to collide.
  private static func hash(
    _ service: some Collection<UInt8>, _ method: some Collection<UInt8>
  ) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in service { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    // A byte that UTF-8 never has keeps "ab"+"c" from "a"+"bc".
    hash = (hash ^ 0xff) &* 0x100_0000_01b3
    for byte in method { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}
