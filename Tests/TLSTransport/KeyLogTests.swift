import Glibc
import LinuxSystem
import TLSTransport
import Testing
import TransportCore

@Suite struct KeyLogTests {
  @Test("The secrets of a connection are logged where the program asks for it, for its owner alone")
  func logged() async throws {
    let pki = try TestPKI()
    let path = pki.path("keys.log")
    try await withServer(pki, pki.server()) { _ in
      for _ in 0..<2 {
        let connection = try await connect(pki, pki.client { $0.keyLogFile = path })
        #expect(try await connection.echo("hello") == "hello")
        await connection.close()
      }
    }
    let file = try OwnedDescriptor(opening: path, O_RDONLY)
    #expect(try file.status().st_mode & 0o777 == 0o600)
    let lines = String(decoding: try file.read(atMost: 1 << 20), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.last == "")
    // Label, client random, secret: the format that Wireshark reads (SSLKEYLOGFILE).
    for line in lines.dropLast() {
      let parts = line.split(separator: " ")
      try #require(parts.count == 3, "\(line)")
      #expect(parts[1].count == 64 && parts[2].count >= 64)
      #expect(parts.dropFirst().allSatisfy { $0.allSatisfy(\.isHexDigit) })
    }
    #expect(lines.count { $0.hasPrefix("CLIENT_TRAFFIC_SECRET_0 ") } == 2)
  }

  @Test("Without it nothing is logged, whatever the environment says")
  func off() async throws {
    let pki = try TestPKI()
    let path = pki.path("keys.log")
    setenv("SSLKEYLOGFILE", path, 1)
    defer { unsetenv("SSLKEYLOGFILE") }
    try await withServer(pki, pki.server()) { _ in
      let connection = try await connect(pki, pki.client())
      #expect(try await connection.echo("hello") == "hello")
      await connection.close()
    }
    #expect(access(path, F_OK) != 0)
  }

  @Test("A file that cannot be opened is an error at once, and named; so is a link")
  func unusable() async throws {
    let pki = try TestPKI()
    let link = pki.path("link")
    try #require(symlink(pki.path("elsewhere"), link) == 0)
    for path in [pki.path("none/keys.log"), link] {
      let error = await #expect(throws: TransportError.self) {
        try await connect(pki, pki.client { $0.keyLogFile = path })
      }
      #expect("\(error.map(String.init(describing:)) ?? "")".contains("the key log \(path)"))
    }
    #expect(access(pki.path("elsewhere"), F_OK) != 0)
  }
}
