#if GRPC
  internal import GRPCCore
  internal import RPCCore
  internal import SwiftProtobuf

  /// `google.rpc.Status` as the trailer `grpc-status-details-bin` carries it: code (1), message (2)
  /// and details (3, each a `google.protobuf.Any`).
  enum StatusDetails {
    static let key = "grpc-status-details-bin"

    static func encode(_ error: RPCError) -> [UInt8] {
      var bytes: [UInt8] = []
      bytes.appendVarint(1 << 3)
      bytes.appendVarint(UInt64(bitPattern: Int64(error.code.rawValue)))
      bytes.appendField(2, Array(error.message.utf8))
      for detail in error.details {
        var any: [UInt8] = []
        any.appendField(1, Array(detail.typeURL.utf8))
        any.appendField(2, detail.value)
        bytes.appendField(3, any)
      }
      return bytes
    }

    /// The details, or none if the bytes are not a status: the code and the text of the other
    /// trailers stand without them.
    static func decode(_ bytes: [UInt8]) -> [RPCStatusDetail] {
      var details: [RPCStatusDetail] = []
      var fields = Fields(bytes[...])
      while let field = fields.next() {
        guard field.number == 3, let value = field.bytes else { continue }
        var any = Fields(value)
        var detail = RPCStatusDetail(typeURL: "", value: [])
        while let part = any.next() {
          guard let value = part.bytes else { continue }
          switch part.number {
          case 1: detail.typeURL = String(decoding: value, as: UTF8.self)
          case 2: detail.value = Array(value)
          default: break
          }
        }
        if any.isBroken { return [] }
        details.append(detail)
      }
      return fields.isBroken ? [] : details
    }
  }

  extension [UInt8] {
    fileprivate mutating func appendVarint(_ value: UInt64) {
      var value = value
      while value >= 0x80 {
        append(UInt8(truncatingIfNeeded: value) | 0x80)
        value >>= 7
      }
      append(UInt8(value))
    }

    fileprivate mutating func appendField(_ number: UInt64, _ bytes: [UInt8]) {
      guard !bytes.isEmpty else { return }
      appendVarint(number << 3 | 2)
      appendVarint(UInt64(bytes.count))
      append(contentsOf: bytes)
    }
  }

  /// The fields of an encoded message, in the order in which they stand.
  private struct Fields {
    private var rest: ArraySlice<UInt8>
    private(set) var isBroken = false

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    mutating func next() -> (number: UInt64, bytes: ArraySlice<UInt8>?)? {
      guard !rest.isEmpty else { return nil }
      guard let tag = varint() else { return broken() }
      switch tag & 7 {
      case 0: return varint() == nil ? broken() : (tag >> 3, nil)
      case 1: return take(8) == nil ? broken() : (tag >> 3, nil)
      case 5: return take(4) == nil ? broken() : (tag >> 3, nil)
      case 2:
        guard let length = varint(), let bytes = take(length) else { return broken() }
        return (tag >> 3, bytes)
      default: return broken()
      }
    }

    private mutating func broken() -> (number: UInt64, bytes: ArraySlice<UInt8>?)? {
      isBroken = true
      return nil
    }

    private mutating func take(_ count: UInt64) -> ArraySlice<UInt8>? {
      guard count <= UInt64(rest.count) else { return nil }
      defer { rest = rest.dropFirst(Int(count)) }
      return rest.prefix(Int(count))
    }

    private mutating func varint() -> UInt64? {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 70, by: 7) {
        guard let byte = rest.popFirst() else { return nil }
        value |= UInt64(byte & 0x7f) << shift
        if byte < 0x80 { return value }
      }
      return nil
    }
  }
#endif
