import TransportCore

/// An address taken apart, for people and for programs.
struct AddressReport: Encodable {
  var canonical: String
  var rpc: String?
  var transport: String
  var layers: [String]
  var place: [String: String]
  /// As `name=value`, without secrets.
  var parameters: [String]
  var connectable: Bool
  var corrections: [String]

  init(_ address: TransportAddress, corrections: [String]) {
    canonical = "\(address)"
    rpc = address.rpc?.rawValue
    transport = address.transport
    layers = address.layers
    place = Self.fields(of: address.place)
    parameters = address.parameters.map { "\($0)" }
    // Only the answer counts here; `hawse` says why when it is asked to connect.
    connectable = (try? Transports.registry.connector(for: address)) != nil
    self.corrections = corrections
  }

  func print() {
    var rows = [["address", canonical], ["protocol", rpc ?? "(none)"], ["transport", transport]]
    if !layers.isEmpty { rows.append(["layers", layers.joined(separator: ", ")]) }
    rows += place.sorted { $0.key < $1.key }.map { [$0.key, $0.value] }
    rows += parameters.map { ["parameter", $0] }
    rows.append(["connectable", connectable ? "yes" : "no (no connector is built in)"])
    rows += corrections.map { ["corrected", $0] }
    let width = rows.map { $0[0].count }.max() ?? 0
    for row in rows {
      Swift.print(row[0] + String(repeating: " ", count: width - row[0].count + 2) + row[1])
    }
  }

  private static func fields(of place: TransportAddress.Place) -> [String: String] {
    switch place {
    case .unix(let path): ["path": path]
    case .abstract(let name): ["name": "@\(name)"]
    case .vsock(let cid, let port): ["cid": cid.map(String.init) ?? "any", "port": "\(port)"]
    case .hybridVsock(let path, let port): ["path": path, "port": "\(port)"]
    case .tcp(let host, let port): ["host": host, "port": "\(port)"]
    case .descriptor(let number): ["descriptor": "\(number)"]
    case .memory(let name): ["name": name]
    case .exec: [:]
    case .other(_, let place): ["place": place]
    }
  }
}
