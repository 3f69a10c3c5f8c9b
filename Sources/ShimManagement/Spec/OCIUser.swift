internal import JSON

/// The user that a process in a container runs as, by numbers: names would need the container's files.
public struct OCIUser: Hashable, Sendable {
  public var uid: UInt32
  public var gid: UInt32
  public var additionalGids: [UInt32]

  public init(uid: UInt32 = 0, gid: UInt32 = 0, additionalGids: [UInt32] = []) {
    self.uid = uid
    self.gid = gid
    self.additionalGids = additionalGids
  }

  /// Parses `UID` or `UID:GID`, both numbers. Without a gid it is the same number as the uid.
  ///
  /// - Throws: ``ShimManagementError`` with `invalidSpec`.
  public init(parsing text: String) throws(ShimManagementError) {
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let numbers = parts.compactMap { part in
      part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt32(part) : nil
    }
    guard let uid = numbers.first, numbers.count == parts.count else {
      throw ShimManagementError(
        code: .invalidSpec, message: "\"\(text)\" is not a user",
        hint: "Write UID or UID:GID with numbers, such as 1000:1000.")
    }
    self.init(uid: uid, gid: numbers.last ?? uid)
  }

  init(json: JSONValue?) {
    func number(_ value: JSONValue?) -> UInt32? { value?.integer.flatMap { UInt32(exactly: $0) } }
    self.init(
      uid: number(json?["uid"]) ?? 0, gid: number(json?["gid"]) ?? 0,
      additionalGids: json?["additionalGids"]?.array?.compactMap(number) ?? [])
  }

  /// Sets what is modelled here, and leaves other members (such as `umask`) as they are.
  func write(into json: inout JSONValue) {
    json["uid"] = .integer(Int64(uid))
    json["gid"] = .integer(Int64(gid))
    json["additionalGids"] =
      additionalGids.isEmpty ? nil : .array(additionalGids.map { .integer(Int64($0)) })
  }
}
