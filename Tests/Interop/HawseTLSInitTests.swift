import Foundation
import Glibc
import Testing

@Suite("hawse tls init")
struct HawseTLSInitTests {
  private static let names = [
    "ca.pem", "client.key", "client.pem", "client.profile", "server.key", "server.pem",
    "server.profile",
  ]

  private struct Report: Decodable {
    var directory: String
    var names: [String]
    var notAfter: String
    var files: [String]
    var serve: String
    var check: String

    init(_ text: String) throws {
      self = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
    }
  }

  private func mode(_ path: String) -> mode_t {
    var status = stat()
    return lstat(path, &status) == 0 ? status.st_mode & 0o7777 : 0
  }

  @Test(
    "writes what openssl verifies, for its owner only, whatever the umask", .timeLimit(.minutes(2)))
  func files() async throws {
    try await TransportBench.use { bench in
      let result = try await bench.run(
        "sh", "-c",
        "umask 0; exec hawse tls init --days 30 --name build-7 --name 10.0.0.7 "
          + "--name spiffe://example.org/shim new")
      #expect(result.code == 0 && result.err == "", "\(result)")
      let directory = "\(bench.directory)/new"
      #expect(HostFiles.names(in: directory) == Self.names)
      #expect(mode(directory) == 0o700)
      for name in Self.names { #expect(mode("\(directory)/\(name)") == 0o600, "\(name)") }
      for name in Self.names { #expect(result.out.contains("new/\(name)\n"), "\(name)") }
      let verified = try await bench.run(
        "openssl", "verify", "-x509_strict", "-CAfile", "new/ca.pem", "new/server.pem",
        "new/client.pem")
      #expect(verified.out == "new/server.pem: OK\nnew/client.pem: OK\n", "\(verified)")
      let server = try await bench.run(
        "openssl", "x509", "-in", "new/server.pem", "-noout", "-ext",
        "subjectAltName,extendedKeyUsage")
      for part in [
        "DNS:build-7", "IP Address:10.0.0.7", "URI:spiffe://example.org/shim",
        "TLS Web Server Authentication",
      ] {
        #expect(server.out.contains(part), "\(server)")
      }
      // They end within 30 days, and not before 29.
      for (seconds, code) in [(29 * 86400, Int32(0)), (30 * 86400, 1)] {
        let end = try await bench.run(
          "openssl", "x509", "-in", "new/server.pem", "-noout", "-checkend", "\(seconds)")
        #expect(end.code == code, "\(seconds)")
      }
      for side in ["server", "client"] {
        let key = try await bench.run("openssl", "pkey", "-in", "new/\(side).key", "-pubout")
        let certificate = try await bench.run(
          "openssl", "x509", "-in", "new/\(side).pem", "-noout", "-pubkey")
        #expect(key.code == 0 && key.out == certificate.out, "\(side)")
      }
    }
  }

  @Test(
    "the two commands that it names work as they are, beside each other", .timeLimit(.minutes(2)))
  func commands() async throws {
    try await TransportBench.use { bench in
      let result = try await bench.run("hawse", "tls", "init", "--json", "it's new")
      #expect(result.code == 0, "\(result)")
      let report = try Report(result.out)
      #expect(report.directory == "it's new" && report.files.sorted() == Self.names)
      #expect(report.names.starts(with: ["localhost", "127.0.0.1", "::1"]))
      // Their port may be somebody else's here.
      let serving = try bench.start(
        "sh", "-c", "exec " + report.serve.replacing(":9443", with: ":0"))
      let line = try await bench.line(of: serving, with: "listening at ")
      let port = try #require(line.split(separator: ":").last)
      let check = try await bench.run(
        "sh", "-c", report.check.replacing(":9443", with: ":\(port)"))
      #expect(check.code == 0 && check.out == "hello\n", "\(check)")
      serving.signal(SIGTERM)
      #expect(try await serving.result().code == 0)
    }
  }

  @Test(
    "overwrites nothing that is there unless it is told to, and then all of it",
    .timeLimit(.minutes(2)))
  func force() async throws {
    try await TransportBench.use { bench in
      let directory = "\(bench.directory)/pki"
      try #require(mkdir(directory, 0o700) == 0)
      try put("mine", "\(directory)/client.key")
      try put("mine", "\(directory)/other")
      let refused = try await bench.run("hawse", "tls", "init", directory)
      expectError(refused, code: 1, [directory, "client.key", "--force"])
      #expect(!refused.err.contains("server"))
      #expect(HostFiles.names(in: directory) == ["client.key", "other"])
      #expect(HostFiles.text("\(directory)/client.key") == "mine")
      var last: [[UInt8]] = []
      for _ in 0..<2 {
        let forced = try await bench.run("hawse", "tls", "init", "--force", directory)
        #expect(forced.code == 0, "\(forced)")
        #expect(HostFiles.names(in: directory) == (Self.names + ["other"]).sorted())
        #expect(HostFiles.text("\(directory)/other") == "mine")
        #expect(mode("\(directory)/client.key") == 0o600)
        let files = ["ca.pem", "server.key", "client.key"].map {
          HostFiles.bytes("\(directory)/\($0)")
        }
        #expect(files != last && !files.contains([]))
        last = files
      }
      let again = try await bench.run("hawse", "tls", "init", directory)
      #expect(again.code == 1)
    }
  }

  @Test("refuses a directory where others could replace keys", .timeLimit(.minutes(2)))
  func directories() async throws {
    try await TransportBench.use { bench in
      let open = "\(bench.directory)/open"
      let theirs = "\(bench.directory)/theirs"
      try #require(mkdir(open, 0o700) == 0 && chmod(open, 0o777) == 0)
      try #require(mkdir(theirs, 0o755) == 0 && chown(theirs, 4711, 4711) == 0)
      try put("", "\(bench.directory)/file")
      let rows = [
        (open, ["others may write", "chmod 700 \(open)"]), (theirs, ["uid 4711"]),
        ("\(bench.directory)/a/b", ["a/b", "make the directory above"]),
        ("\(bench.directory)/file", ["file", "Not a directory"]),
      ]
      let before = HostFiles.tree(bench.directory)
      for (directory, essentials) in rows {
        let result = try await bench.run("hawse", "tls", "init", directory)
        expectError(result, code: 1, essentials, directory)
        #expect(HostFiles.tree(bench.directory) == before)
      }
    }
  }

  @Test(
    "a name or a time that no certificate can have is a wrong command line",
    .timeLimit(.minutes(2)),
    arguments: [
      ["--name", ""], ["--name", "a b"], ["--name", "build-7:9443"], ["--name", "a..b"],
      ["--name", "spiffe://a,DNS:b"], ["--name", "x\ny"], ["--name", "*"],
      ["--name", String(repeating: "a", count: 64)], ["--days", "0"], ["--days=-1"],
      ["--days", "3651"], ["--days", "x"],
    ])
  func wrong(_ arguments: [String]) async throws {
    try await TransportBench.use { bench in
      let result = try await bench.run(["hawse", "tls", "init"] + arguments)
      #expect(result.code == 64 && result.err.hasPrefix("Error: "), "\(result)")
      #expect(HostFiles.names(in: bench.directory).isEmpty)
    }
  }
}
