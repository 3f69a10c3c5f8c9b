extension AddressFault {
  /// The error that tells a person what is wrong with `text`, where, and what was probably meant.
  func error(in text: String, customTransports: Set<String> = []) -> TransportError {
    let bytes = Array(text.utf8.prefix(AddressLimits.text))
    let words = AddressWords(bytes: bytes, range: range, customTransports: customTransports)
    return TransportError(
      code: .invalidAddress,
      message: "\(quoted(text)) is not an address: at byte \(range.lowerBound), \(problem(words))",
      position: range.lowerBound, hint: AddressHint(kind: kind, words: words).text)
  }

  /// What is there, and what was expected instead.
  private func problem(_ words: AddressWords) -> String {
    switch kind {
    case .empty: "there is nothing; expected an address such as ttrpc+unix:///run/pod.sock"
    case .tooLong: "it is longer than \(AddressLimits.text) bytes"
    case .outerWhitespace: "white space stands around it; expected none"
    case .controlByte(let byte): "there is the control byte \(hex(byte)); expected printable text"
    case .nul: "there is a NUL byte, which no name can hold"
    case .percentWithoutDigits: "\"%\" is not followed by two hexadecimal digits"
    case .notUTF8: "the percent-encoded bytes are not UTF-8"
    case .noPlace: "\"://\" is missing; expected a transport, \"://\" and a place"
    case .nothingBeforePlus: "a name is missing; expected one of \(words.knownNames)"
    case .nothingAfterPlus:
      "\"+\" is not followed by a name; expected one of \(words.knownNames)"
    case .schemeByte(let byte):
      "\(character(byte)) cannot be part of a protocol's or a transport's name"
    case .upperCase: "protocols and transports are written in lower case"
    case .unknownName:
      "\"\(words.faulty)\" is neither a protocol nor a transport; expected one of "
        + words.knownNames
    case .protocolAlone:
      "\"\(words.faulty)\" is a protocol; expected \"+\" and a transport after it"
    case .protocolMisplaced: "\"\(words.faulty)\" is a protocol, which can only come first"
    case .notALayer:
      "\"\(words.faulty)\" is not a layer; expected \"tls\" or \"://\" after the transport"
    case .layerTwice: "the layer \"\(words.faulty)\" is there already"
    case .tooManyLayers: "there are more than \(AddressLimits.layers) layers"
    case .emptyPlace: "the place is missing; expected \(words.expectedPlace)"
    case .relativePath: "the path is relative; expected an absolute one, which begins with \"/\""
    case .directoryPath: "the path ends in \"/\", so it names a directory; expected a socket's"
    case .pathTooLong: "the path is longer than \(AddressLimits.path) bytes"
    case .abstractNameTooLong:
      "the abstract socket's name is longer than \(AddressLimits.abstractName) bytes"
    case .portMissing: "the port is missing; expected \":\" and a number"
    case .notANumber(let number):
      "\"\(words.faulty)\" is not a \(number.name); expected "
        + (number == .cid ? "a number in base 10, or \"any\"" : "a number in base 10")
    case .outOfRange(let number):
      "\(words.faulty) is too great for a \(number.name); expected 0 to \(number.most)"
    case .emptyHost: "the host is missing; expected a name or an IP address"
    case .hostByte(let byte): "\(character(byte)) cannot be part of a host's name"
    case .hostTooLong: "the host's name is longer than \(AddressLimits.host) bytes"
    case .bareIPv6: "there is more than one colon; expected brackets around an IPv6 address"
    case .bracketOpen: "\"[\" is never closed; expected \"]\""
    case .notIPv6: "\"\(words.faulty)\" is not an IPv6 address"
    case .notIPv4: "\"\(words.faulty)\" is not an IPv4 address"
    case .userInfo: "there is a user before \"@\"; expected only a host and a port"
    case .textAfterPort: "something follows the port; expected \"?\" or the end"
    case .commandOutsideParameters: "a command's words are parameters; expected \"?\""
    case .noCommand: "the command is missing; expected a parameter \"arg\" for each of its words"
    case .emptyParameters: "nothing follows \"?\"; expected parameters, or no \"?\""
    case .parameterWithoutName: "a parameter has no name; expected name=value"
    case .parameterWithoutValue: "a parameter has no value; expected name=value"
    case .tooManyParameters: "there are more than \(AddressLimits.parameters) parameters"
    }
  }

  private func character(_ byte: UInt8) -> String {
    byte < 0x80 ? "\"\(Character(UnicodeScalar(byte)))\"" : "the byte \(hex(byte))"
  }

  private func hex(_ byte: UInt8) -> String {
    "0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
  }
}

extension AddressFault.Number {
  var name: String {
    switch self {
    case .cid: "vsock context id"
    case .vsockPort: "vsock port"
    case .tcpPort: "port"
    case .descriptor: "descriptor"
    }
  }
}

/// A text that could not be read, fit for a message: bounded, printable, and without what may be a
/// secret (parameters, a password before `@`).
func quoted(_ text: String) -> String {
  var bytes = Array(text.utf8.prefix(200))
  var tail = text.utf8.count > bytes.count ? "…" : ""
  if let question = bytes.firstIndex(of: UInt8(ascii: "?")) {
    bytes.removeSubrange(question...)
    tail = "?…"
  }
  for (index, byte) in bytes.enumerated() where byte < 0x20 || byte == 0x7f {
    bytes[index] = UInt8(ascii: ".")
  }
  // The cut may have split a character; decoding marks it.
  return "\"\(Redaction.withoutPassword(String(decoding: bytes, as: UTF8.self)))\(tail)\""
}
