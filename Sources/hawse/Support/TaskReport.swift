import ContainerdClient
import ShimManagement
import TransportCore

/// What is shown of a task or sandbox, in a table or as JSON.
struct TaskReport: Encodable {
  var id: String
  var namespace: String
  var sandbox: String?
  var address: String?
  var `protocol`: String?
  var version: Int?
  var pid: UInt32?
  var status: String
  var problem: String?
  var exitStatus: UInt32?
  /// started, reused, attached.
  var joined: String?
  var attachMicroseconds: Int64?

  init(_ report: ShimManager.Report) {
    id = report.id
    namespace = report.namespace
    sandbox = report.sandboxID
    address = report.address.map(Self.withoutProtocol)
    `protocol` = report.address?.rpc?.rawValue
    version = report.version
    joined = report.joined?.joined
    attachMicroseconds = report.joined?.joinMicroseconds
    if let state = report.state {
      pid = state.pid == 0 ? nil : state.pid
      if state.status == .stopped { exitStatus = state.exitStatus }
    }
    switch report.condition {
    case .alive: status = report.state.map { "\($0.status)" } ?? "no task"
    case .dead: status = "dead"
    case .mute: status = "mute"
    case .unreachable(let text):
      status = "unreachable"
      problem = text
    case .incomplete: status = "incomplete"
    case .damaged(let text):
      status = "damaged"
      problem = text
    }
  }

  static let header = [
    "ID", "ADDRESS", "PROTOCOL", "VERSION", "PID", "STATUS", "EXIT", "JOINED", "ATTACH TIME",
  ]

  var row: [String] {
    [
      id, address.map(Self.shortened) ?? "-", `protocol` ?? "-", version.map { "\($0)" } ?? "-",
      pid.map { "\($0)" } ?? "-", status, exitStatus.map { "\($0)" } ?? "-", joined ?? "-",
      attachMicroseconds.map(Self.milliseconds) ?? "-",
    ]
  }

  private static func withoutProtocol(_ address: TransportAddress) -> String {
    var address = address
    address.rpc = nil
    return "\(address)"
  }

  /// Shims name their sockets by 64 hex digits; the first twelve tell them apart.
  private static func shortened(_ address: String) -> String {
    guard let slash = address.lastIndex(of: "/") else { return address }
    let name = address[address.index(after: slash)...]
    guard name.count == 64, name.allSatisfy(\.isHexDigit) else { return address }
    return address[...slash] + name.prefix(12) + "…"
  }

  private static func milliseconds(_ microseconds: Int64) -> String {
    let hundredths = (microseconds + 5) / 10
    let fraction = "\(hundredths % 100)"
    return "\(hundredths / 100).\(fraction.count == 1 ? "0" : "")\(fraction) ms"
  }
}
