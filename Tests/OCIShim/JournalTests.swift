import Testing

@testable import OCIShim

@Suite("Journal")
struct JournalTests {
  static func record() -> JournalRecord {
    var record = JournalRecord(id: "a", namespace: "k8s.io")
    record.options.binaryName = "/usr/bin/crun"
    record.options.extraArguments = ["--debug"]
    record.options.commandTimeout = .seconds(7)
    record.options.ioUid = .max
    record.stdio.stdout = "/run/fifo \"é\""
    record.stdio.terminal = true
    record.hasMounts = true
    record.initProcess = .init(pid: 7, startTime: .max)
    record.exit = ProcessEnd(status: 137, time: WallTime(seconds: 1_700_000_000, nanoseconds: 5))
    var exec = JournalRecord.Exec()
    exec.spec = Array(#"{"args":["sh","-c","echo \"x\""]}"#.utf8)
    exec.process = .init(pid: 8, startTime: nil)
    exec.exit = ProcessEnd(status: 0, time: WallTime(seconds: 1, nanoseconds: 0))
    record.execs = ["x": exec, "y": JournalRecord.Exec()]
    return record
  }

  @Test(
    "gives back what was written", arguments: [record(), JournalRecord(id: "b", namespace: "n")])
  func roundTrip(record: JournalRecord) throws {
    let directory = try TemporaryDirectory()
    let journal = Journal(bundle: directory.path)
    #expect(try journal.read() == nil)
    try journal.write(JournalRecord(id: "old", namespace: "n"))
    try journal.write(record)
    #expect(try journal.read() == record)
    #expect(try directory.names() == [Journal.fileName])
  }

  @Test("cut off at any byte, or with any byte changed, is damaged and says so")
  func damage() throws {
    let bytes = Journal.encode(Self.record())
    for count in 0..<bytes.count {
      #expect(throws: JournalFault.self) { try Journal.decode(Array(bytes[..<count])) }
    }
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= 0x01
      #expect(throws: JournalFault.self) { try Journal.decode(changed) }
    }
    let directory = try TemporaryDirectory()
    try directory.write(Journal.fileName, "{\"format\":1")
    let journal = Journal(bundle: directory.path)
    let error = #expect(throws: OCIShimError.self) { try journal.read() }
    #expect(error?.code == .damagedState)
    #expect(
      error?.message.contains("\(directory.path)/\(Journal.fileName) is damaged: line 1") == true)
  }

  @Test("of another format is not guessed at")
  func format() {
    let error = #expect(throws: JournalFault.self) {
      try Journal.decode(Array(#"{"format":2}"#.utf8))
    }
    #expect(error?.description == "its format is 2, and this shim knows 1")
  }

  @Test("says how a container ended, or that nobody knows")
  func verdict() throws {
    let directory = try TemporaryDirectory()
    let journal = Journal(bundle: directory.path)
    guard case .unknown(0, let none) = try JournalVerdict(journal) else {
      Issue.record("no journal, and yet a verdict")
      return
    }
    #expect(none.contains("has no journal"))
    var record = JournalRecord(id: "a", namespace: "n")
    record.initProcess = .init(pid: 9, startTime: 1)
    try journal.write(record)
    guard case .unknown(9, let died) = try JournalVerdict(journal) else {
      Issue.record("no exit, and yet a verdict")
      return
    }
    #expect(died.contains("died before"))
    record.exit = ProcessEnd(status: 3, time: WallTime(seconds: 2, nanoseconds: 0))
    try journal.write(record)
    let exit = try #require(record.exit)
    #expect(try JournalVerdict(journal) == .ended(pid: 9, exit))
  }
}
