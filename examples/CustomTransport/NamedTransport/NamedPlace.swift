internal import TransportCore

/// The place of a `named` address: `/run/vm.sock:agent`, a unix socket and the name of one of the
/// services behind it.
///
/// The grammar hands the place of a transport that is not its own over as it was written; what it
/// means is the transport's to say.
struct NamedPlace {
  let socket: TransportAddress
  let name: String

  /// - Returns: `nil` when the address is not one that this transport understands.
  init?(_ address: TransportAddress) {
    guard case .other("named", let place) = address.place,
      let colon = place.lastIndex(of: ":")
    else { return nil }
    let path = String(place[..<colon])
    name = String(place[place.index(after: colon)...])
    guard path.hasPrefix("/"), Self.isName(name) else { return nil }
    socket = TransportAddress(place: .unix(path: path))
  }

  /// At most 64 letters, digits, dots and dashes: nothing that a line of the handshake could be
  /// broken with.
  static func isName(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count)
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  static let syntax = "it is written named:///path/of/socket:name"
}
