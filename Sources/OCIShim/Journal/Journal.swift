internal import JSON
internal import ShimProtocol

/// The journal of one container: a file of its bundle that is replaced as a whole, so that a crash
/// at any point leaves the old contents or the new ones.
///
/// It is a JSON object with `format` (1), `record`, and `checksum`, the FNV-1a of the record's bytes
/// as they are printed here, in hexadecimal. What does not fit is an error that says why: the journal
/// is never guessed at. Reading and writing block for as long as the disk takes.
public struct Journal: Sendable {
  public static let fileName = "hawsepipe-journal.json"
  /// In bytes. A container with more execs than fit is refused the next one.
  public static let largest = 64 << 20

  public let bundle: String

  public init(bundle: String) { self.bundle = bundle }

  private var files: BundleFiles { BundleFiles(path: bundle) }

  private var place: String { files.path(of: Self.fileName) }

  /// - Throws: `system` when it cannot be written; the old contents are there then.
  public func write(_ record: JournalRecord) throws(OCIShimError) {
    let bytes = Self.encode(record)
    guard bytes.count <= Self.largest else {
      throw OCIShimError(
        code: .system, message: "the journal \(place) would be larger than \(Self.largest) bytes")
    }
    do throws(ShimProtocolError) {
      try files.writeAtomically(Self.fileName, bytes, mode: 0o600)
    } catch {
      throw OCIShimError(
        code: .system, message: "container \(record.id)'s journal cannot be written", cause: error)
    }
  }

  /// What was written last; nil when there is no journal.
  ///
  /// - Throws: `damagedState` for one that is not whole, `system` when it cannot be read.
  public func read() throws(OCIShimError) -> JournalRecord? {
    let bytes: [UInt8]
    do throws(ShimProtocolError) {
      bytes = try files.read(Self.fileName, limit: Self.largest)
    } catch {
      if error.code == .missingFile { return nil }
      throw OCIShimError(
        code: error.code == .fileOperationFailed ? .system : .damagedState,
        message: "the journal \(place) cannot be read", cause: error)
    }
    do throws(JournalFault) {
      return try Self.decode(bytes)
    } catch {
      throw OCIShimError(
        code: .damagedState, message: "the journal \(place) is damaged: \(error)",
        hint: "What became of the container is not known; delete it, and see what damaged the file."
      )
    }
  }

  static func encode(_ record: JournalRecord) -> [UInt8] {
    let json = record.json
    let whole: JSONValue = [
      "format": 1, "checksum": .string(checksum(json.printed())), "record": json,
    ]
    return whole.printed()
  }

  static func decode(_ bytes: [UInt8]) throws(JournalFault) -> JournalRecord {
    let whole: JSONValue
    do throws(JSONFault) {
      whole = try JSONValue(parsing: bytes)
    } catch {
      throw JournalFault(description: "\(error)")
    }
    guard let format = whole["format"]?.integer else {
      throw JournalFault(description: "it has no format")
    }
    guard format == 1 else {
      throw JournalFault(description: "its format is \(format), and this shim knows 1")
    }
    guard let record = whole["record"], let checksum = whole["checksum"]?.string else {
      throw JournalFault(description: "the record or its checksum is missing")
    }
    guard checksum == self.checksum(record.printed()) else {
      throw JournalFault(description: "the checksum is not that of the record")
    }
    return try JournalRecord(record)
  }

  private static func checksum(_ bytes: [UInt8]) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash, radix: 16)
  }
}

/// What the `delete` action can say of a container whose shim is gone.
public enum JournalVerdict: Hashable, Sendable {
  /// The shim saw it end.
  case ended(pid: Int32, ProcessEnd)
  /// The shim died before it saw the container end: how it ended is not known, and why is said.
  case unknown(pid: Int32, reason: String)

  public init(_ journal: Journal) throws(OCIShimError) {
    self.init(try journal.read(), bundle: journal.bundle)
  }

  init(_ record: JournalRecord?, bundle: String) {
    guard let record else {
      self = .unknown(pid: 0, reason: "the bundle \(bundle) has no journal")
      return
    }
    let pid = record.initProcess?.pid ?? 0
    if let exit = record.exit {
      self = .ended(pid: pid, exit)
    } else if pid == 0 {
      self = .unknown(pid: 0, reason: "container \(record.id) had no process yet")
    } else {
      self = .unknown(
        pid: pid, reason: "the shim of container \(record.id) died before the container's end")
    }
  }
}
