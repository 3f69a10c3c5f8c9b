import Glibc
import ProcessSupervision
import Testing

extension RealShim {
  @Suite("streams of a task")
  struct Streams {
    @Test("a large output arrives whole", .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func largeOutput(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let script = "yes 'the quick brown fox, over and over' | head -c 33554432"
        let process = try hawse.start(
          "task", "run", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--", "sh", "-c", script)
        let status = try await within(.seconds(120), "the end") { try await process.child.wait() }
        #expect(status == .exited(0), "\(process.err)")
        let sum = try await Self.shell("sha256sum < \(process.outputPath)")
        #expect(try await Self.shell("\(script) | sha256sum") == sum)
      }
    }

    @Test(
      "a large input arrives whole, from a file and from a pipe", .timeLimit(.minutes(5)),
      arguments: ServingShim.allCases)
    func largeInput(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let path = "\(hawse.directory)/input"
        _ = try await Self.shell("head -c 8388608 /dev/urandom > \(path)")
        let sum = try await Self.shell("sha256sum < \(path)")
        let file = open(path, O_RDONLY | O_CLOEXEC)
        try #require(file >= 0)
        defer { close(file) }
        let process = try hawse.start(
          "task", "run", "--interactive", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--",
          "sha256sum", input: file)
        let result = try await process.result(within: .seconds(120))
        #expect(result.code == 0, "\(result)")
        #expect(result.out == sum)

        let piped = try await hawse.hawse(
          "task", "run", "--interactive", "--sandbox", "pod1", "--rootfs", hawse.rootfs, "--",
          "sha256sum", input: HostFiles.bytes(path), timeout: .seconds(120))
        #expect(piped.out == sum, "\(piped)")
      }
    }

    @Test(
      "a terminal echoes, follows the window's size and gives the exit status",
      .timeLimit(.minutes(5)), arguments: ServingShim.allCases)
    func terminal(shim: ServingShim) async throws {
      try await HawseFixture.use(shim) { hawse in
        try await hawse.sandbox("pod1")
        let run = hawse.command([
          "task", "run", "--tty", "--interactive", "--sandbox", "pod1", "--rootfs", hawse.rootfs,
          "--", "sh",
        ])
        let session = try await Command(
          "/usr/bin/python3", arguments: ["-c", Self.typist, run.executable] + run.arguments,
          environment: run.environment
        ).run(timeout: .seconds(120))
        // The shell redraws its line in pieces when a key comes before its prompt is up.
        let shown = String(decoding: session.standardOutput, as: UTF8.self)
          .replacing(#/\u{1b}\[[0-9;]*[A-Za-z]/#, with: "")
        let errors = String(decoding: session.standardError, as: UTF8.self)
        #expect(session.status == .exited(7), "\(shown)\(errors)")
        #expect(shown.contains("typed-$((40+2))"), "what is typed is echoed: \(shown)")
        #expect(shown.contains("typed-42"), "\(shown)")
        #expect(shown.contains("31 101"), "the size at the start: \(shown)")
        #expect(shown.contains("resized-2"), "\(shown)")
      }
    }

    /// Types into a pseudo-terminal as a person would, and prints what the screen showed.
    private static let typist = """
      import fcntl, os, pty, select, struct, sys, termios, time

      def resize(fd, rows, columns):
          fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

      pid, fd = pty.fork()
      if pid == 0:
          resize(0, 31, 101)
          os.execv(sys.argv[1], sys.argv[1:])
      shown = b""
      deadline = time.time() + 60

      def read():
          global shown
          if not select.select([fd], [], [], max(0, deadline - time.time()))[0]:
              os.write(1, shown)
              os.kill(pid, 9)
              sys.exit("nothing came any more")
          try:
              piece = os.read(fd, 65536)
          except OSError:
              piece = b""
          shown += piece
          return piece

      def wait(text):
          while text not in shown:
              if not read():
                  os.write(1, shown)
                  sys.exit("ended before %r came" % text)

      wait(b"# ")
      os.write(fd, b"echo typed-$((40+2))\\n")
      wait(b"typed-42")
      os.write(fd, b'until [ "$(stty size)" = "31 101" ]; do usleep 20000; done; stty size\\n')
      wait(b"\\n31 101")
      resize(fd, 40, 120)
      os.write(fd, b'until [ "$(stty size)" = "40 120" ]; do usleep 20000; done; '
                   b'echo resized-$((1+1))\\n')
      wait(b"resized-2")
      os.write(fd, b"exit 7\\n")
      while read():
          pass
      os.write(1, shown)
      sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
      """

    private static func shell(_ script: String) async throws -> String {
      let output = try await Command(
        "/bin/sh", arguments: ["-c", script], environment: ["PATH=/usr/bin:/bin"]
      ).run(timeout: .seconds(60))
      try #require(output.status.isSuccess)
      return String(decoding: output.standardOutput, as: UTF8.self)
    }
  }
}
