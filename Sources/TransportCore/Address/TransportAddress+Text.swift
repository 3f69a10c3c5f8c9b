extension TransportAddress {
  /// The one canonical text of this address, with everything in it. For people, and for logs, see
  /// ``description``, which leaves secrets out.
  public var text: String { written { $0.value } }

  /// The canonical text with `value` deciding how much of each parameter is told.
  func written(value: (Parameter) -> String) -> String {
    var text = scheme + "://" + placeText
    var mark = "?"
    for parameter in parameters {
      text += mark
      text += PercentCoding.encode(parameter.name, reserved: .parameterName)
      text += "="
      text += PercentCoding.encode(value(parameter), reserved: .parameterValue)
      mark = "&"
    }
    return text
  }

  private var scheme: String {
    var names = layers
    // `tls` alone stands for `tls+tcp`, and is how it is written.
    var isImplied = false
    if case .tcp = place, layers.last == "tls" { isImplied = true }
    if !isImplied { names.append(transport) }
    if let rpc { names.insert(rpc.rawValue, at: 0) }
    return names.joined(separator: "+")
  }

  private var placeText: String {
    switch place {
    case .unix(let path):
      return PercentCoding.encode(path, reserved: .path)
    case .abstract(let name):
      return "@" + PercentCoding.encode(name, reserved: .path)
    case .vsock(let cid, let port):
      return (cid.map { String($0) } ?? "any") + ":\(port)"
    case .hybridVsock(let path, let port):
      return PercentCoding.encode(path, reserved: .hybridVsockPath) + ":\(port)"
    case .tcp(let host, let port):
      guard host.utf8.contains(UInt8(ascii: ":")) else { return "\(host):\(port)" }
      return "[" + PercentCoding.encode(host, reserved: .path) + "]:\(port)"
    case .descriptor(let descriptor):
      return String(descriptor)
    case .memory(let name):
      return PercentCoding.encode(name, reserved: .path)
    case .exec:
      return ""
    case .other(_, let place):
      return place
    }
  }
}
