/// The strict grammar, over the UTF-8 bytes of a text.
///
/// Every index that is read is in a range that was cut from `bytes`, so that no input can make it
/// trap.
struct AddressParser {
  let bytes: [UInt8]
  let customTransports: Set<String>

  init(_ text: String, customTransports: Set<String> = []) throws(AddressFault) {
    guard text.utf8.count <= AddressLimits.text else {
      throw AddressFault(.tooLong, at: AddressLimits.text)
    }
    self.bytes = Array(text.utf8)
    self.customTransports = customTransports
  }

  func parse() throws(AddressFault) -> TransportAddress {
    try checkBytes()
    guard let separator = placeSeparator() else { throw AddressFault(.noPlace, 0..<bytes.count) }
    let scheme = try parseScheme(0..<separator)
    let start = separator + 3
    let question = firstIndex(of: UInt8(ascii: "?"), in: start..<bytes.count)
    let place = try parsePlace(scheme.transport, start..<(question ?? bytes.count))
    var parameters: [TransportAddress.Parameter] = []
    if let question { parameters = try parseParameters(question + 1..<bytes.count) }
    if case .exec = place, !parameters.contains(where: { $0.name == "arg" }) {
      throw AddressFault(.noCommand, at: bytes.count)
    }
    return TransportAddress(
      rpc: scheme.rpc, layers: scheme.layers, place: place, parameters: parameters)
  }

  // MARK: Bytes

  private func checkBytes() throws(AddressFault) {
    guard let first = bytes.first, let last = bytes.last else { throw AddressFault(.empty, at: 0) }
    if Self.isSpace(first) { throw AddressFault(.outerWhitespace, 0..<1) }
    if Self.isSpace(last) { throw AddressFault(.outerWhitespace, bytes.count - 1..<bytes.count) }
    var index = 0
    for byte in bytes {
      if byte < 0x20 || byte == 0x7f {
        throw AddressFault(byte == 0 ? .nul : .controlByte(byte), index..<index + 1)
      }
      index += 1
    }
  }

  static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (byte >= 0x09 && byte <= 0x0d)
  }

  func firstIndex(of byte: UInt8, in range: Range<Int>) -> Int? {
    var index = range.lowerBound
    while index < range.upperBound {
      if bytes[index] == byte { return index }
      index += 1
    }
    return nil
  }

  func lastIndex(of byte: UInt8, in range: Range<Int>) -> Int? {
    var index = range.upperBound
    while index > range.lowerBound {
      index -= 1
      if bytes[index] == byte { return index }
    }
    return nil
  }

  /// The text of a range that ends at ASCII bytes, so that it is as valid as the whole.
  func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  private func placeSeparator() -> Int? {
    var index = 0
    while let colon = firstIndex(of: UInt8(ascii: ":"), in: index..<bytes.count) {
      if colon + 2 < bytes.count, bytes[colon + 1] == UInt8(ascii: "/"),
        bytes[colon + 2] == UInt8(ascii: "/")
      {
        return colon
      }
      index = colon + 1
    }
    return nil
  }

  // MARK: Scheme

  private struct Scheme {
    var rpc: TransportAddress.RPCProtocol?
    var layers: [String] = []
    var transport = ""
  }

  private func parseScheme(_ range: Range<Int>) throws(AddressFault) -> Scheme {
    let names = try splitScheme(range)
    var scheme = Scheme()
    for (index, name) in names.enumerated() {
      let isLast = index == names.count - 1
      let word = text(name)
      if let rpc = TransportAddress.RPCProtocol(rawValue: word) {
        guard index == 0 else { throw AddressFault(.protocolMisplaced, name) }
        guard !isLast else { throw AddressFault(.protocolAlone, name) }
        scheme.rpc = rpc
        continue
      }
      let isLayer = AddressNames.layers.contains(word)
      let isTransport = AddressNames.transports.contains(word)
      guard isLayer || isTransport || customTransports.contains(word) else {
        throw AddressFault(.unknownName, name)
      }
      if isLast, !isLayer {
        scheme.transport = word
        break
      }
      guard !isTransport else { throw AddressFault(.notALayer, name) }
      guard !scheme.layers.contains(word) else { throw AddressFault(.layerTwice, name) }
      guard scheme.layers.count < AddressLimits.layers else {
        throw AddressFault(.tooManyLayers, name)
      }
      scheme.layers.append(word)
      // A layer that ends the list is around what TLS is commonly spoken over.
      if isLast { scheme.transport = "tcp" }
    }
    return scheme
  }

  private func splitScheme(_ range: Range<Int>) throws(AddressFault) -> [Range<Int>] {
    var names: [Range<Int>] = []
    var start = range.lowerBound
    var index = start
    while index <= range.upperBound {
      if index < range.upperBound, bytes[index] != UInt8(ascii: "+") {
        try checkSchemeByte(index)
        index += 1
        continue
      }
      guard index > start else {
        throw AddressFault(names.isEmpty ? .nothingBeforePlus : .nothingAfterPlus, at: start)
      }
      names.append(start..<index)
      index += 1
      start = index
    }
    return names
  }

  private func checkSchemeByte(_ index: Int) throws(AddressFault) {
    switch bytes[index] {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"), UInt8(ascii: "."):
      return
    case UInt8(ascii: "A")...UInt8(ascii: "Z"):
      throw AddressFault(.upperCase, index..<index + 1)
    case let byte:
      throw AddressFault(.schemeByte(byte), index..<index + 1)
    }
  }
}
