#if canImport(Glibc)
  internal import Glibc
#endif

extension AddressParser {
  func parsePlace(
    _ transport: String, _ range: Range<Int>
  ) throws(AddressFault) -> TransportAddress.Place {
    switch transport {
    case "unix": return try parseUnix(range)
    case "vsock": return try parseVsock(range)
    case "hvsock": return try parseHybridVsock(range)
    case "tcp": return try parseTCP(range)
    case "fd": return .descriptor(Int32(try parseNumber(.descriptor, range)))
    case "memory":
      guard !range.isEmpty else { throw AddressFault(.emptyPlace, range) }
      return .memory(name: try decode(range))
    case "exec":
      guard range.isEmpty else { throw AddressFault(.commandOutsideParameters, range) }
      return .exec
    default:
      return .other(transport: transport, place: text(range))
    }
  }

  // MARK: Unix, vsock, hybrid vsock

  private func parseUnix(_ range: Range<Int>) throws(AddressFault) -> TransportAddress.Place {
    guard !range.isEmpty else { throw AddressFault(.emptyPlace, range) }
    guard bytes[range.lowerBound] == UInt8(ascii: "@") else {
      return .unix(path: try parsePath(range))
    }
    let name = try decode(range.lowerBound + 1..<range.upperBound)
    guard !name.isEmpty else { throw AddressFault(.emptyPlace, range) }
    guard name.utf8.count <= AddressLimits.abstractName else {
      throw AddressFault(.abstractNameTooLong, range)
    }
    return .abstract(name: name)
  }

  private func parsePath(_ range: Range<Int>) throws(AddressFault) -> String {
    guard !range.isEmpty else { throw AddressFault(.emptyPlace, range) }
    guard bytes[range.lowerBound] == UInt8(ascii: "/") else {
      throw AddressFault(.relativePath, range)
    }
    let path = try decode(range)
    guard path.utf8.last != UInt8(ascii: "/") else { throw AddressFault(.directoryPath, range) }
    guard path.utf8.count <= AddressLimits.path else { throw AddressFault(.pathTooLong, range) }
    return path
  }

  private func parseVsock(_ range: Range<Int>) throws(AddressFault) -> TransportAddress.Place {
    guard !range.isEmpty else { throw AddressFault(.emptyPlace, range) }
    guard let colon = firstIndex(of: UInt8(ascii: ":"), in: range) else {
      throw AddressFault(.portMissing, at: range.upperBound)
    }
    let cid = try parseContextID(range.lowerBound..<colon)
    let port = UInt32(try parseNumber(.vsockPort, colon + 1..<range.upperBound))
    return .vsock(cid: cid, port: port)
  }

  /// `-1` and 4294967295 are how other software writes "any" (VMADDR_CID_ANY).
  private func parseContextID(_ range: Range<Int>) throws(AddressFault) -> UInt32? {
    if matches("any", range) || matches("-1", range) { return nil }
    let cid = UInt32(try parseNumber(.cid, range))
    return cid == UInt32.max ? nil : cid
  }

  private func parseHybridVsock(_ range: Range<Int>) throws(AddressFault) -> TransportAddress.Place
  {
    guard !range.isEmpty else { throw AddressFault(.emptyPlace, range) }
    guard let colon = lastIndex(of: UInt8(ascii: ":"), in: range) else {
      throw AddressFault(.portMissing, at: range.upperBound)
    }
    let path = try parsePath(range.lowerBound..<colon)
    let port = UInt32(try parseNumber(.vsockPort, colon + 1..<range.upperBound))
    return .hybridVsock(path: path, port: port)
  }

  // MARK: TCP

  private func parseTCP(_ range: Range<Int>) throws(AddressFault) -> TransportAddress.Place {
    guard !range.isEmpty else { throw AddressFault(.emptyPlace, range) }
    if let at = firstIndex(of: UInt8(ascii: "@"), in: range) {
      throw AddressFault(.userInfo, range.lowerBound..<at + 1)
    }
    guard bytes[range.lowerBound] != UInt8(ascii: "[") else { return try parseBracketed(range) }
    guard let colon = lastIndex(of: UInt8(ascii: ":"), in: range) else {
      throw AddressFault(.portMissing, at: range.upperBound)
    }
    let host = range.lowerBound..<colon
    guard !host.isEmpty else { throw AddressFault(.emptyHost, host) }
    guard firstIndex(of: UInt8(ascii: ":"), in: host) == nil else {
      throw AddressFault(.bareIPv6, range)
    }
    let name = try parseHost(host)
    return .tcp(host: name, port: try parseTCPPort(colon + 1..<range.upperBound))
  }

  private func parseBracketed(_ range: Range<Int>) throws(AddressFault) -> TransportAddress.Place {
    guard let close = firstIndex(of: UInt8(ascii: "]"), in: range) else {
      throw AddressFault(.bracketOpen, range)
    }
    let literal = range.lowerBound + 1..<close
    let host = try decode(literal)
    guard Self.isIPv6(host) else { throw AddressFault(.notIPv6, literal) }
    guard close + 1 < range.upperBound, bytes[close + 1] == UInt8(ascii: ":") else {
      throw AddressFault(.portMissing, at: close + 1)
    }
    return .tcp(host: host, port: try parseTCPPort(close + 2..<range.upperBound))
  }

  private func parseTCPPort(_ range: Range<Int>) throws(AddressFault) -> UInt16 {
    if let slash = firstIndex(of: UInt8(ascii: "/"), in: range) {
      throw AddressFault(.textAfterPort, slash..<range.upperBound)
    }
    return UInt16(try parseNumber(.tcpPort, range))
  }

  private func parseHost(_ range: Range<Int>) throws(AddressFault) -> String {
    guard range.count <= AddressLimits.host else { throw AddressFault(.hostTooLong, range) }
    var lastLabelIsNumber = true
    for index in range {
      switch bytes[index] {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): continue
      case UInt8(ascii: "."): lastLabelIsNumber = true
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "-"), UInt8(ascii: "_"):
        lastLabelIsNumber = false
      case let byte: throw AddressFault(.hostByte(byte), index..<index + 1)
      }
    }
    let host = text(range)
    // No name ends in a number, so it was meant as an IPv4 address (WHATWG URL, "ends in a number").
    if lastLabelIsNumber {
      var address = in_addr()
      guard inet_pton(AF_INET, host, &address) == 1 else { throw AddressFault(.notIPv4, range) }
    }
    return host
  }

  /// An IPv6 literal, perhaps with the zone of a link-local one (`fe80::1%eth0`).
  private static func isIPv6(_ host: String) -> Bool {
    let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard let literal = parts.first else { return false }
    if parts.count == 2 {
      let isZone = parts[1].utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
          UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "."),
          UInt8(ascii: "_"):
          true
        default: false
        }
      }
      guard isZone, !parts[1].isEmpty else { return false }
    }
    var address = in6_addr()
    return inet_pton(AF_INET6, String(literal), &address) == 1
  }

  // MARK: Words

  private func matches(_ word: StaticString, _ range: Range<Int>) -> Bool {
    guard range.count == word.utf8CodeUnitCount else { return false }
    for offset in 0..<range.count
    where bytes[range.lowerBound + offset] != word.utf8Start[offset] {
      return false
    }
    return true
  }

  /// An unsigned decimal number, as containerd reads one: digits alone, leading zeros allowed.
  func parseNumber(
    _ number: AddressFault.Number, _ range: Range<Int>
  ) throws(AddressFault) -> UInt64 {
    guard !range.isEmpty else { throw AddressFault(.notANumber(number), range) }
    var value: UInt64 = 0
    for index in range {
      let byte = bytes[index]
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else {
        throw AddressFault(.notANumber(number), range)
      }
      value = value * 10 + UInt64(byte - UInt8(ascii: "0"))
      // Checked at each digit, so that no input is long enough to overflow.
      guard value <= number.most else { throw AddressFault(.outOfRange(number), range) }
    }
    return value
  }

  func decode(_ range: Range<Int>) throws(AddressFault) -> String {
    guard firstIndex(of: UInt8(ascii: "%"), in: range) != nil else { return text(range) }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(range.count)
    var index = range.lowerBound
    while index < range.upperBound {
      guard bytes[index] == UInt8(ascii: "%") else {
        decoded.append(bytes[index])
        index += 1
        continue
      }
      guard index + 2 < range.upperBound, let high = PercentCoding.value(bytes[index + 1]),
        let low = PercentCoding.value(bytes[index + 2])
      else { throw AddressFault(.percentWithoutDigits, index..<index + 1) }
      let byte = high << 4 | low
      guard byte != 0 else { throw AddressFault(.nul, index..<index + 3) }
      decoded.append(byte)
      index += 3
    }
    guard let text = String(validating: decoded, as: UTF8.self) else {
      throw AddressFault(.notUTF8, range)
    }
    return text
  }
}
