import Glibc
import LinuxSystem
import ProcessSupervision
import Testing

/// A certificate and its private key, PEM files.
struct OpenSSLPair: Sendable {
  var certificate: String
  var key: String

  /// As an address's parameters have them.
  var parameters: String { "cert=\(certificate)&key=\(key)" }
  /// As the `openssl` commands have them.
  var arguments: [String] { ["-cert", certificate, "-key", key] }

  /// Puts another pair's files into the place of these, as programs that renew certificates do.
  func replace(by other: OpenSSLPair) throws {
    for (from, to) in [(other.key, key), (other.certificate, certificate)] {
      guard rename(from, to) == 0 else { throw SystemError("rename", errno: errno) }
    }
  }
}

/// A CA of the `openssl` command's.
struct OpenSSLAuthority: Sendable {
  let directory: String
  let name: String

  var certificate: String { "\(directory)/\(name).pem" }
  private var configuration: String { "\(directory)/\(name).cnf" }

  /// What keys are when nobody asks for others.
  static let curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

  struct Failure: Error, CustomStringConvertible { var description: String }

  static func make(named name: String, in directory: String) async throws -> OpenSSLAuthority {
    let authority = OpenSSLAuthority(directory: directory, name: name)
    try authority.prepare()
    try await openssl(
      ["req", "-x509", "-config", authority.configuration, "-extensions", "root", "-newkey"] + curve
        + [
          "-nodes", "-keyout", "\(directory)/\(name).key", "-subj", "/CN=\(name)", "-days", "30",
          "-out", authority.certificate,
        ])
    return authority
  }

  /// A CA that this one signed.
  func intermediate(named name: String) async throws -> OpenSSLAuthority {
    let authority = OpenSSLAuthority(directory: directory, name: name)
    try authority.prepare()
    try await sign(name, section: "root", extensions: nil, from: -300, until: 86400)
    return authority
  }

  /// Makes a key and a certificate for it.
  ///
  /// - Parameters:
  ///   - names: of the subjectAltName extension, such as `DNS:build-7.example`.
  ///   - usage: `serverAuth` or `clientAuth`.
  ///   - from: when it becomes valid, in seconds from now.
  ///   - until: when it expires, in seconds from now.
  ///   - key: its kind, as `openssl req -newkey` has it.
  func issue(
    _ name: String, names: [String], usage: String, from: Int = -300, until: Int = 86400,
    key: [String] = curve
  ) async throws -> OpenSSLPair {
    var lines = [
      "basicConstraints = critical, CA:FALSE", "keyUsage = critical, digitalSignature",
      "extendedKeyUsage = \(usage)",
    ]
    if !names.isEmpty { lines.append("subjectAltName = \(names.joined(separator: ", "))") }
    return try await sign(
      name, section: "leaf", extensions: lines, from: from, until: until, key: key)
  }

  /// A server certificate with a name of its own, for tests that change its files.
  func issueServer(
    _ name: String = "build-7", names: [String] = ["DNS:build-7.example", "IP:127.0.0.1"],
    from: Int = -300, until: Int = 86400
  ) async throws -> OpenSSLPair {
    try await issue(
      OpenSSLFixture.unique(name), names: names, usage: "serverAuth", from: from, until: until)
  }

  func issueClient(from: Int = -300, until: Int = 86400) async throws -> OpenSSLPair {
    try await issue(
      OpenSSLFixture.unique("client"), names: ["URI:spiffe://example.org/client"],
      usage: "clientAuth", from: from, until: until)
  }

  // MARK: The command

  @discardableResult
  private func sign(
    _ name: String, section: String, extensions: [String]?, from: Int, until: Int,
    key: [String] = curve
  ) async throws -> OpenSSLPair {
    let base = "\(directory)/\(name)"
    let pair = OpenSSLPair(certificate: "\(base).pem", key: "\(base).key")
    try await Self.openssl(
      ["req", "-new", "-config", configuration, "-newkey"] + key
        + ["-nodes", "-keyout", pair.key, "-subj", "/CN=\(name)", "-out", "\(base).csr"])
    var arguments = [
      "ca", "-batch", "-notext", "-config", "\(base).ca", "-extensions", section,
      "-startdate", Self.date(from), "-enddate", Self.date(until), "-in", "\(base).csr",
      "-out", pair.certificate,
    ]
    if let extensions {
      try HostFiles.write("\(base).ext", "[\(section)]\n" + extensions.joined(separator: "\n"))
      arguments += ["-extfile", "\(base).ext"]
    }
    // Tests run beside each other, and the CA's database takes one at a time.
    try HostFiles.write("\(base).ca", configurationText(database: "\(base).list"))
    try HostFiles.write("\(base).list", "")
    try await Self.openssl(arguments)
    return pair
  }

  private func prepare() throws {
    try HostFiles.write(configuration, configurationText(database: "\(directory)/\(name).list"))
  }

  private func configurationText(database: String) -> String {
    """
    [req]
    distinguished_name = subject
    [subject]
    [root]
    basicConstraints = critical, CA:TRUE
    keyUsage = critical, keyCertSign, cRLSign
    subjectKeyIdentifier = hash
    [ca]
    default_ca = own
    [own]
    database = \(database)
    new_certs_dir = \(directory)
    certificate = \(certificate)
    private_key = \(directory)/\(name).key
    rand_serial = yes
    default_md = sha256
    unique_subject = no
    policy = any
    [any]
    commonName = supplied
    """
  }

  /// As ASN.1 writes it.
  private static func date(_ offset: Int) -> String {
    var seconds = time(nil) + offset
    var parts = tm()
    gmtime_r(&seconds, &parts)
    var text = [CChar](repeating: 0, count: 32)
    let count = strftime(&text, text.count, "%Y%m%d%H%M%SZ", &parts)
    return String(decoding: text[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  @discardableResult
  static func openssl(_ arguments: [String]) async throws -> String {
    let output = try await Command(OpenSSLProcess.executable, arguments: arguments)
      .run(timeout: .seconds(60))
    guard output.status.isSuccess else {
      throw Failure(
        description: "openssl \(arguments.joined(separator: " ")): "
          + String(decoding: output.standardError, as: UTF8.self))
    }
    return String(decoding: output.standardOutput, as: UTF8.self)
  }
}
