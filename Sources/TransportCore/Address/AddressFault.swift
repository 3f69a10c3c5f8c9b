/// Where and how a text departs from the grammar of addresses. ``AddressFault/error(in:names:)``
/// puts it into words; the parser only says what it saw.
struct AddressFault: Error {
  enum Kind: Equatable {
    case empty
    case tooLong
    case outerWhitespace
    case controlByte(UInt8)
    case nul
    case percentWithoutDigits
    case notUTF8

    /// No `://` in it.
    case noPlace
    case nothingBeforePlus
    case nothingAfterPlus
    case schemeByte(UInt8)
    case upperCase
    case unknownName
    /// A protocol and no transport after it.
    case protocolAlone
    /// A protocol that is not the first name.
    case protocolMisplaced
    /// A transport that cannot be a layer around another.
    case notALayer
    case layerTwice
    case tooManyLayers

    case emptyPlace
    case relativePath
    case directoryPath
    case pathTooLong
    case abstractNameTooLong
    case portMissing
    case notANumber(Number)
    case outOfRange(Number)
    case emptyHost
    case hostByte(UInt8)
    case hostTooLong
    case bareIPv6
    case bracketOpen
    case notIPv6
    case notIPv4
    case userInfo
    case textAfterPort
    case commandOutsideParameters
    case noCommand

    case emptyParameters
    case parameterWithoutName
    case parameterWithoutValue
    case tooManyParameters
  }

  /// A number of the grammar, with the greatest value that it may have.
  enum Number: Equatable {
    case cid, vsockPort, tcpPort, descriptor

    var most: UInt64 {
      switch self {
      case .cid, .vsockPort: UInt64(UInt32.max)
      case .tcpPort: UInt64(UInt16.max)
      case .descriptor: UInt64(Int32.max)
      }
    }
  }

  var kind: Kind
  /// What is at fault, as offsets in UTF-8 bytes.
  var range: Range<Int>

  init(_ kind: Kind, _ range: Range<Int>) {
    self.kind = kind
    self.range = range
  }

  init(_ kind: Kind, at position: Int) {
    self.init(kind, position..<position)
  }
}
