import Glibc
import LinuxSystem
import Testing

@Suite struct OwnedDescriptorTests {
  /// A directory of the test's own, removed afterwards.
  private func withDirectory(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/hawse-linux-XXXXXX".utf8CString)
    let path = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer {
      // The tests leave plain files in it.
      for name in (try? directory(path).names()) ?? [] { unlink("\(path)/\(name)") }
      rmdir(path)
    }
    try body(path)
  }

  private func directory(_ path: String) throws(SystemError) -> OwnedDescriptor {
    try OwnedDescriptor(opening: path, O_RDONLY | O_DIRECTORY)
  }

  @Test("what is opened is close-on-exec")
  func closeOnExec() throws {
    let null = try OwnedDescriptor(opening: "/dev/null", O_RDONLY)
    let copy = try OwnedDescriptor(duplicating: null.number)
    let pipe = try Pipe()
    for number in [null.number, copy.number, pipe.reading.number, pipe.writing.number] {
      #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
    }
    #expect(copy.number > 2)
  }

  @Test("what cannot be opened is an error with its path")
  func missing() {
    let error = #expect(throws: SystemError.self) {
      _ = try OwnedDescriptor(opening: "/nowhere/at all", O_RDONLY)
    }
    #expect(error == SystemError("open", "/nowhere/at all", errno: ENOENT))
  }

  @Test("the end of the writing end is the end of the pipe")
  func closing() throws {
    let pipe = try Pipe()
    let reading = pipe.takeReading()
    #expect(try reading.read(atMost: 10) == [])
  }

  @Test("a file is read as it was written, and not beyond the limit", arguments: [0, 1, 200_000])
  func readAndWrite(size: Int) throws {
    try withDirectory { path in
      let parent = try directory(path)
      let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
      let file = try OwnedDescriptor(
        opening: "file", in: parent, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
      try file.write(bytes)
      try file.close()
      #expect(
        try OwnedDescriptor(opening: "file", in: parent, O_RDONLY).read(atMost: size) == bytes)
      let part = try OwnedDescriptor(opening: "\(path)/file", O_RDONLY).read(atMost: size / 2)
      #expect(part == Array(bytes.prefix(size / 2)))
    }
  }

  @Test("a directory's names are all of them, also when they are asked for twice")
  func names() throws {
    try withDirectory { path in
      let parent = try directory(path)
      #expect(try parent.names() == [])
      let made = (0..<300).map { "name-\($0)" }
      for name in made {
        _ = try OwnedDescriptor(opening: name, in: parent, O_WRONLY | O_CREAT, mode: 0o600)
      }
      for _ in 0..<2 { #expect(try Set(parent.names()) == Set(made)) }
    }
  }

  @Test("a lock that another open file holds is not to be had, and is free when that lets go")
  func locks() throws {
    try withDirectory { path in
      let second = try OwnedDescriptor(opening: "\(path)/lock", O_RDWR | O_CREAT, mode: 0o600)
      do {
        let first = try OwnedDescriptor(opening: "\(path)/lock", O_RDWR)
        #expect(try first.tryLock())
        #expect(try !second.tryLock())
        // Not by closing it: a process that another test just starts may have a copy.
        flock(first.number, LOCK_UN)
      }
      #expect(try second.tryLock())
    }
  }
}
