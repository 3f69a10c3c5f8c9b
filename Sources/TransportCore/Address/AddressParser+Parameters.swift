extension AddressParser {
  func parseParameters(
    _ range: Range<Int>
  ) throws(AddressFault) -> [TransportAddress.Parameter] {
    guard !range.isEmpty else { throw AddressFault(.emptyParameters, at: range.lowerBound - 1) }
    var parameters: [TransportAddress.Parameter] = []
    var start = range.lowerBound
    while start <= range.upperBound {
      guard parameters.count < AddressLimits.parameters else {
        throw AddressFault(.tooManyParameters, at: start)
      }
      let end = firstIndex(of: UInt8(ascii: "&"), in: start..<range.upperBound) ?? range.upperBound
      parameters.append(try parseParameter(start..<end))
      start = end + 1
    }
    return parameters
  }

  private func parseParameter(
    _ range: Range<Int>
  ) throws(AddressFault) -> TransportAddress.Parameter {
    guard let equals = firstIndex(of: UInt8(ascii: "="), in: range) else {
      throw AddressFault(range.isEmpty ? .parameterWithoutName : .parameterWithoutValue, range)
    }
    guard equals > range.lowerBound else { throw AddressFault(.parameterWithoutName, range) }
    return TransportAddress.Parameter(
      try decode(range.lowerBound..<equals), try decode(equals + 1..<range.upperBound))
  }
}
