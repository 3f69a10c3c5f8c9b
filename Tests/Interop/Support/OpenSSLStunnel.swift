/// What stands in front of a program that knows nothing of TLS.
enum Stunnel {
  static let executable = "/usr/bin/stunnel4"

  /// Runs stunnel while `body` runs; it wants clients' certificates.
  ///
  /// - Parameters:
  ///   - place: where it listens: an address and a port, or the path of a unix socket.
  ///   - target: what it puts behind TLS, a line of its configuration.
  static func run<Value>(
    _ place: String, before target: String, _ tls: OpenSSLFixture,
    _ body: (OpenSSLProcess) async throws -> Value
  ) async throws -> Value {
    let path = "\(tls.directory)/\(OpenSSLFixture.unique("stunnel")).conf"
    try HostFiles.write(
      path,
      """
      foreground = yes
      pid =
      syslog = no
      debug = info
      [service]
      accept = \(place)
      \(target)
      cert = \(tls.server.certificate)
      key = \(tls.server.key)
      CAfile = \(tls.authority.certificate)
      verifyChain = yes
      requireCert = yes

      """)
    return try await OpenSSLProcess.run(executable, arguments: [path], body)
  }
}
