import Glibc
import LinuxSystem
import Logging
import Testing

@testable import ShimKit

@Suite("The log fifo")
struct LogFifoTests {
  private static let time = timespec(tv_sec: 1_795_000_000, tv_nsec: 1_002_003)

  private func withFifo(_ body: (String) async throws -> Void) async throws {
    var template = Array("/tmp/hawse-log-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let place = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer {
      unlink("\(place)/log")
      rmdir(place)
    }
    try #require(mkfifo("\(place)/log", 0o600) == 0)
    try await body("\(place)/log")
  }

  /// What can be read at once, as lines.
  private func lines(_ path: String) throws -> [String] {
    let reader = try OwnedDescriptor(opening: path, O_RDONLY | O_NONBLOCK)
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(reader.number, &chunk, chunk.count)
      if count <= 0 { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
  }

  @Test(
    "a line is one line, whatever it holds",
    arguments: [
      ("plain", [:], "msg=\"plain\""),
      ("two\nlines\tand \"words\" \\", [:], "msg=\"two\\nlines\\tand \\\"words\\\" \\\\\""),
      ("bell \u{7}", [:], "msg=\"bell \\x07\""),
      ("äö", ["b": "two words", "a": "/run/x-1"], "msg=\"äö\" a=/run/x-1 b=\"two words\""),
      ("m", ["odd key=": ""], "msg=\"m\" odd_key_=\"\""),
    ] as [(String, [String: String], String)])
  func form(message: String, metadata: [String: String], rest: String) {
    let bytes = LogLine.bytes(
      time: Self.time, level: .notice, message: message,
      metadata: metadata.mapValues { .string($0) })
    #expect(
      String(decoding: bytes, as: UTF8.self)
        == "time=\"2026-11-18T11:06:40.001002003Z\" level=info \(rest)\n")
  }

  @Test("a logger's lines wait for a reader that comes later, and for the next one")
  func readers() async throws {
    try await withFifo { path in
      let fifo = try LogFifo(path: path)
      var logger = Logger(label: "tests") { _ in fifo.handler() }
      logger[metadataKey: "id"] = "c1"
      logger.info("one", metadata: ["pid": "7"])
      logger.debug("not at this level")
      let first = try lines(path)
      #expect(first.count == 1)
      #expect(first.first?.hasSuffix("level=info msg=\"one\" id=c1 pid=7") == true)
      logger.warning("two")
      #expect(try lines(path).first?.hasSuffix("level=warning msg=\"two\" id=c1") == true)
      var verbose = Logger(label: "tests") { _ in fifo.handler(level: .debug) }
      verbose.debug("at this one")
      #expect(try lines(path).count == 1)
      verbose.logLevel = .error
    }
  }

  @Test("without a reader nothing blocks; what has no room is dropped, and the number is told")
  func full() async throws {
    try await withFifo { path in
      let fifo = try LogFifo(path: path, backlog: 32 << 10)
      let logger = Logger(label: "tests") { _ in fifo.handler() }
      for number in 0..<5000 { logger.info("line \(number)", metadata: ["filler": "0123456789"]) }
      let dropped = fifo.dropped
      #expect(dropped > 0)
      var read: [String] = []
      while !read.contains(where: { $0.contains("lines of the log were dropped") }) {
        read += try lines(path)
        try await Task.sleep(for: .milliseconds(1))
      }
      #expect(read.last?.contains("count=\(dropped)") == true)
      #expect(read.count == 5000 - Int(dropped) + 1)
      for (number, line) in read.dropLast().enumerated() {
        #expect(line.contains("msg=\"line \(number)\""))
      }
    }
  }

  @Test("a line longer than a pipe takes at once arrives whole")
  func long() async throws {
    try await withFifo { path in
      let fifo = try LogFifo(path: path)
      let logger = Logger(label: "tests") { _ in fifo.handler() }
      logger.info("\(String(repeating: "x", count: 12_000))")
      logger.info("after")
      let read = try lines(path)
      #expect(read.count == 2)
      #expect(read.first?.contains(String(repeating: "x", count: 12_000)) == true)
    }
  }

  @Test("what is no fifo is refused", arguments: ["/dev/null", "/nowhere/log"])
  func noFifo(path: String) {
    #expect(throws: ShimKitError.self) { try LogFifo(path: path) }
  }
}
