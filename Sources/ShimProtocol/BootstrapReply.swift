internal import ContainerdAPI
internal import SwiftProtobuf

/// What a shim's `start` command printed.
///
/// There are three dialects (containerd `core/runtime/v2`, `parseStartResponse`): the bare address
/// (containerd 1.6), a JSON object (1.7 to 2.2), and a protobuf message (2.3 and newer). containerd
/// takes whatever is not JSON for an address, also a warning or a damaged object, and then fails to
/// dial it. Here everything that is not one dialect for certain is an error that quotes it.
public struct BootstrapReply: Hashable, Sendable {
  public enum Dialect: String, Hashable, Sendable, CaseIterable {
    case protobuf, json, plain
  }

  public var params: BootstrapParams
  public var dialect: Dialect

  /// The largest reply that is looked at, in bytes.
  public static let maximumSize = 64 * 1024

  /// Parses standard output of `start`, and nothing of standard error.
  ///
  /// - Throws: `.emptyReply`, `.unclearReply`, `.damagedReply`, `.unsupportedVersion` or
  ///   `.unsupportedProtocol`.
  public init(_ reply: [UInt8]) throws(ShimProtocolError) {
    guard reply.count <= Self.maximumSize else {
      throw ShimProtocolError(
        code: .unclearReply,
        message: "the shim's reply has \(reply.count) bytes, more than any reply needs; it begins "
          + quoted(reply))
    }
    // Untrimmed: the last byte of a message may well be a newline's.
    if let params = Self.protobuf(reply) {
      try Self.check(params, in: reply)
      self.init(params: params, dialect: .protobuf)
    } else {
      try self.init(text: reply)
    }
  }

  /// Parses the two dialects that are text.
  init(text reply: [UInt8]) throws(ShimProtocolError) {
    let trimmed = Self.trimmed(reply)
    guard let first = trimmed.first else {
      throw ShimProtocolError(
        code: .emptyReply,
        message: "the shim printed no address; its log or its standard error may say why")
    }
    if first == UInt8(ascii: "{") {
      let params = try BootstrapParams(json: Array(trimmed))
      try Self.check(params, in: reply)
      self.init(params: params, dialect: .json)
    } else {
      let params = BootstrapParams(
        version: 2, address: try Self.plain(trimmed), protocolName: "ttrpc")
      self.init(params: params, dialect: .plain)
    }
  }

  init(params: BootstrapParams, dialect: Dialect) {
    self.params = params
    self.dialect = dialect
  }

  /// Nil for what is no such message. Text can be one by accident, but then it sets none of the
  /// fields that make a reply: every one of their tags is a control character in text.
  private static func protobuf(_ reply: [UInt8]) -> BootstrapParams? {
    // That it does not decode is an answer, not a fault: it is another dialect then.
    guard
      let result = try? Containerd_Runtime_Bootstrap_V1_BootstrapResult(serializedBytes: reply),
      result.version != 0 || !result.address.isEmpty || !result.protocol.isEmpty
    else { return nil }
    return BootstrapParams(
      version: Int(result.version), address: result.address,
      protocolName: BootstrapParams.canonicalProtocol(result.protocol),
      // Open enumerations are 32 bits on the wire.
      capabilities: result.capabilities.map { Int32(truncatingIfNeeded: $0.rawValue) },
      metadata: result.metadata)
  }

  /// A bare address: one word on one line that begins as an address does.
  private static func plain(_ text: ArraySlice<UInt8>) throws(ShimProtocolError) -> String {
    func unclear(_ fault: String) -> ShimProtocolError {
      ShimProtocolError(
        code: .unclearReply,
        message:
          "the shim's reply is neither a protobuf message, nor a JSON object, nor an address "
          + "alone (\(fault)): \(quoted(text))")
    }
    guard let string = String(validating: text, as: UTF8.self) else {
      throw unclear("it is not text")
    }
    guard !text.contains(UInt8(ascii: "\n")) else {
      throw unclear("it has several lines; a shim must print warnings elsewhere")
    }
    guard !string.unicodeScalars.contains(where: isControl) else {
      throw unclear("it has control characters")
    }
    guard !string.unicodeScalars.contains(where: \.properties.isWhitespace) else {
      throw unclear("it has spaces; a shim must print warnings elsewhere")
    }
    guard string.hasPrefix("/") || string.hasPrefix("@") || beginsWithScheme(text) else {
      throw unclear("it begins with none of a scheme, / and @")
    }
    return string
  }

  private static func beginsWithScheme(_ text: ArraySlice<UInt8>) -> Bool {
    let scheme = text.prefix { $0 != UInt8(ascii: ":") }
    guard let first = scheme.first, isLetter(first), scheme.allSatisfy(isSchemeByte) else {
      return false
    }
    let rest = text[scheme.endIndex...]
    return rest.starts(with: "://".utf8) && rest.count > 3
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  private static func isSchemeByte(_ byte: UInt8) -> Bool {
    isLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
  }

  private static func trimmed(_ reply: [UInt8]) -> ArraySlice<UInt8> {
    // Space, and \t \n \v \f \r.
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
    var text = reply.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return text
  }

  /// The checks of `BootstrapParams`, with the reply in the message.
  private static func check(
    _ params: BootstrapParams, in reply: [UInt8]
  ) throws(ShimProtocolError) {
    do {
      try params.validate()
    } catch {
      throw ShimProtocolError(
        code: error.code, message: "\(error.message); it replied \(quoted(reply))")
    }
  }
}

extension BootstrapParams {
  /// Parses standard output of a shim's `start`. See ``BootstrapReply`` for the rules, and for which
  /// dialect it was.
  public init(reply: [UInt8]) throws(ShimProtocolError) {
    self = try BootstrapReply(reply).params
  }
}
