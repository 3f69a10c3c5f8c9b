internal import Synchronization

/// The standard streams of a process without a terminal whose output a logger takes.
final class LoggedIO: ProcessStreams {
  private let input: ProcessIO
  private let binary: BinaryLogger

  init(stdin: StdioTarget, logger: BinaryLogger) throws(OCIShimError) {
    input = try ProcessIO(stdin: stdin, stdout: .null, stderr: .null, owner: (uid: 0, gid: 0))
    binary = logger
  }

  var descriptors: [Int32: Int32]? {
    (input.descriptors ?? [:]).merging(binary.writers.mapValues(\.number)) { _, logged in logged }
  }

  var consoleSocket: String? { nil }
  var logger: JournalRecord.Process? { binary.process }

  func prepare() async throws { try await binary.start() }

  func spawned() {
    input.spawned()
    binary.giveUpWriters()
  }

  func started() async throws {}
  func closeStdin() { input.closeStdin() }
  func resize(columns: UInt32, rows: UInt32) throws {}
  func ended() { input.ended() }
  func drain() async { await binary.end() }

  func close() {
    input.close()
    binary.giveUpWriters()
  }
}
