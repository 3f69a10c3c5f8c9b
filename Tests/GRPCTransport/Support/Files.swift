#if GRPC
  import Glibc
  import TLSTransport
  import TransportCore

  struct Failure: Error { var what: String }

  /// A directory of a test's own, whose files go with it.
  final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
      var template = Array("/tmp/hawsepipe-XXXXXX".utf8CString)
      guard mkdtemp(&template) != nil else { throw Failure(what: "mkdtemp: \(errno)") }
      path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
      for name in Self.names where unlink("\(path)/\(name)") != 0 {}
      rmdir(path)
    }

    /// All that tests put there.
    private static let names = [
      "guest.sock", "vm.sock", "x.sock", "x.sock.lock", "ca.pem", "server.key", "server.pem",
      "client.key", "client.pem",
    ]

    func write(_ name: String, _ bytes: [UInt8]) throws {
      let file = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
      guard file >= 0 else { throw Failure(what: "\(name): \(errno)") }
      defer { close(file) }
      guard Glibc.write(file, bytes, bytes.count) == bytes.count else {
        throw Failure(what: "\(name): \(errno)")
      }
    }
  }

  /// A CA, a server `build-7.example` and a client, in files.
  struct TestPKI {
    let directory: TemporaryDirectory

    init() throws {
      directory = try TemporaryDirectory()
      let authority = try PrivateAuthority(commonName: "test CA")
      try directory.write("ca.pem", authority.certificate)
      for (name, usage, names) in [
        ("server", PrivateAuthority.Usage.server, [TLSPeerName.dns("build-7.example")]),
        ("client", .client, [.uri("spiffe://example.org/client")]),
      ] {
        let pair = try authority.issue(
          usage, names: names, commonName: name, validity: .days(90))
        try directory.write("\(name).key", pair.key)
        try directory.write("\(name).pem", pair.certificate)
      }
    }

    func layer(_ name: String, _ set: (inout TLSConfiguration) -> Void = { _ in }) -> TLSLayer {
      TLSLayer(
        TLSConfiguration {
          $0.authority = .file("\(directory.path)/ca.pem")
          $0.certificate = .file("\(directory.path)/\(name).pem")
          $0.key = .file("\(directory.path)/\(name).key")
          if name == "client" { $0.serverName = "build-7.example" }
          set(&$0)
        })
    }
  }
#endif
