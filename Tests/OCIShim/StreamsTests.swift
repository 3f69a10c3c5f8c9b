import CLinux
import Glibc
import LinuxSystem
import Testing

@testable import OCIShim

@Suite("Standard streams")
struct StreamsTests {
  @Test("what a request may name")
  func targets() throws {
    #expect(try StdioTarget("") == .null)
    #expect(try StdioTarget("/a") == .path("/a"))
    #expect(try StdioTarget("fifo:///a") == .path("/a"))
    #expect(try StdioTarget("file:///a") == .file("/a"))
    for text in ["a", "file://a", "npipe://a", "fifo://", "ttrpc+unix:///a"] {
      #expect(throws: OCIShimError.self) { try StdioTarget(text) }
    }
  }

  @Test("a fifo's other end is held: no reader is waited for, and what was written stays")
  func fifo() throws {
    let directory = try TemporaryDirectory()
    let out = "\(directory.path)/out"
    let input = "\(directory.path)/in"
    try #require(mkfifo(out, 0o700) == 0 && mkfifo(input, 0o700) == 0)
    let io = try ProcessIO(
      stdin: .path(input), stdout: .path(out), stderr: .path(out), owner: (uid: 0, gid: 0))
    let numbers = try #require(io.descriptors)
    #expect(numbers[1] == numbers[2])
    let process = try OwnedDescriptor(duplicating: try #require(numbers[1]))
    let processInput = try OwnedDescriptor(duplicating: try #require(numbers[0]))
    io.spawned()
    #expect(io.descriptors == [:])
    try process.write(Array("early".utf8))
    try process.close()
    let reader = try OwnedDescriptor(opening: out, O_RDONLY | O_NONBLOCK)
    #expect(try reader.read(atMost: 5) == Array("early".utf8))
    var byte: UInt8 = 0
    #expect(read(reader.number, &byte, 1) == -1 && errno == EAGAIN)
    io.ended()
    #expect(read(reader.number, &byte, 1) == 0)
    #expect(try processInput.read(atMost: 1) == [])
    io.close()
  }

  @Test("the fifos of a user namespace's root are its own, input and output")
  func owner() throws {
    try #require(geteuid() == 0, "to give files away needs root: run the tests as root")
    let directory = try TemporaryDirectory()
    let paths = ["in", "out", "err"].map { "\(directory.path)/\($0)" }
    for path in paths { try #require(mkfifo(path, 0o700) == 0) }
    let io = try ProcessIO(
      stdin: .path(paths[0]), stdout: .path(paths[1]), stderr: .path(paths[2]),
      owner: (uid: 100_000, gid: 200_000))
    defer { io.close() }
    for path in paths {
      var status = stat()
      try #require(stat(path, &status) == 0)
      #expect(status.st_uid == 100_000 && status.st_gid == 200_000, "\(path)")
    }
  }

  @Test("a file is made with its directories and appended to")
  func file() throws {
    let directory = try TemporaryDirectory()
    let path = "\(directory.path)/a/b/log"
    for text in ["one ", "two"] {
      let io = try ProcessIO(
        stdin: .null, stdout: .file(path), stderr: .null, owner: (uid: 0, gid: 0))
      let copy = try OwnedDescriptor(duplicating: try #require(io.descriptors?[1]))
      try copy.write(Array(text.utf8))
      io.close()
    }
    #expect(directory.read("a/b/log") == "one two")
  }

  @Test("a terminal that the runtime hands over is copied to and from, resized and drained")
  func terminal() async throws {
    let directory = try TemporaryDirectory()
    let out = "\(directory.path)/out"
    let input = "\(directory.path)/in"
    try #require(mkfifo(out, 0o700) == 0 && mkfifo(input, 0o700) == 0)
    let io = try TerminalIO(
      stdin: .path(input), stdout: .path(out), bundle: directory.path)
    var controller: Int32 = -1
    var terminal: Int32 = -1
    try #require(clinux_terminal_open_pair(&controller, &terminal) == 0)
    let ours = OwnedDescriptor(owning: terminal)
    try Self.handOver(OwnedDescriptor(owning: controller), to: try #require(io.consoleSocket))
    try await io.started()

    var before = clinux_terminal_settings()
    try #require(clinux_terminal_make_raw(ours.number, &before) == 0)
    try io.resize(columns: 100, rows: 40)
    var columns: UInt16 = 0
    var rows: UInt16 = 0
    try #require(clinux_terminal_size(ours.number, &columns, &rows) == 0)
    #expect(columns == 100 && rows == 40)

    let writer = try OwnedDescriptor(opening: input, O_WRONLY)
    try writer.write(Array("ask".utf8))
    #expect(try ours.read(atMost: 3) == Array("ask".utf8))
    try ours.write(Array("answer".utf8))
    let reader = try OwnedDescriptor(opening: out, O_RDONLY)
    #expect(try reader.read(atMost: 6) == Array("answer".utf8))
    try ours.write(Array("last".utf8))
    try ours.close()
    await io.drain()
    io.ended()
    #expect(try reader.read(atMost: 4) == Array("last".utf8))
    io.close()
    #expect(try reader.read(atMost: 1) == [])
    #expect(try directory.names() == ["in", "out"])
  }

  /// As runc does it: one message with the descriptor in it.
  static func handOver(_ descriptor: consuming OwnedDescriptor, to path: String) throws {
    let socket = OwnedDescriptor(owning: clinux_unix_socket())
    let name = Array(path.utf8)
    try #require(clinux_unix_connect(socket.number, name, name.count, false) == 0)
    var control = [UInt64](repeating: 0, count: 3)
    let number = descriptor.number
    control.withUnsafeMutableBytes { bytes in
      var header = cmsghdr()
      header.cmsg_len = MemoryLayout<cmsghdr>.size + 4
      header.cmsg_level = SOL_SOCKET
      header.cmsg_type = Int32(SCM_RIGHTS)
      bytes.storeBytes(of: header, as: cmsghdr.self)
      bytes.storeBytes(of: number, toByteOffset: MemoryLayout<cmsghdr>.size, as: Int32.self)
    }
    var payload = Array("/dev/ptmx".utf8)
    let sent = payload.withUnsafeMutableBytes { payload in
      control.withUnsafeMutableBytes { control in
        var part = iovec(iov_base: payload.baseAddress, iov_len: payload.count)
        return withUnsafeMutablePointer(to: &part) { part in
          var message = msghdr()
          message.msg_iov = part
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = MemoryLayout<cmsghdr>.size + 8
          return sendmsg(socket.number, &message, 0)
        }
      }
    }
    try #require(sent == 9)
  }
}
