/// What `hawse task ls --json` and `sandbox ls --json` print, as far as tests look at it.
struct ListedTask: Decodable, Sendable {
  var id: String
  var namespace: String
  var sandbox: String?
  var address: String?
  var version: Int?
  var pid: Int32?
  var status: String
  var problem: String?
  var exitStatus: UInt32?
  var joined: String?
}

struct ListedSandbox: Decodable, Sendable {
  var sandbox: ListedTask
  var tasks: [ListedTask]
}
