internal import TransportCore

/// What an address or a profile says, as it is written there; `nil` where it says nothing.
struct TLSSettings: Sendable, Equatable {
  var ca: String?
  var cert: String?
  var key: String?
  var servername: String?
  var verify: String?
  var name: [String]?
  var uri: [String]?
  var trustdomain: [String]?
  var alpn: [String]?
  var min: String?
  var clientcert: String?
  var resume: String?

  /// Takes over what `other` says. What belongs together comes from one of them.
  mutating func override(by other: TLSSettings) {
    ca = other.ca ?? ca
    if other.cert != nil || other.key != nil { (cert, key) = (other.cert, other.key) }
    servername = other.servername ?? servername
    verify = other.verify ?? verify
    if other.name != nil || other.uri != nil || other.trustdomain != nil {
      (name, uri, trustdomain) = (other.name, other.uri, other.trustdomain)
    }
    alpn = other.alpn ?? alpn
    min = other.min ?? min
    clientcert = other.clientcert ?? clientcert
    resume = other.resume ?? resume
  }

  func apply(to configuration: inout TLSConfiguration, role: TLSRole) throws(TLSError) {
    if let ca { configuration.authority = .file(ca) }
    if cert != nil || key != nil {
      configuration.certificate = cert.map { .file($0) }
      configuration.key = key.map { .file($0) }
      configuration.passphrase = nil
    }
    if let servername { configuration.serverName = servername }
    if let verify {
      configuration.verification = try Self.word(verify, "verify", ["full": .full, "none": .none])
    }
    let names =
      (name ?? []).map { TLSPeerName(host: $0) } + (uri ?? []).map { .uri($0) }
      + (trustdomain ?? []).map { .trustDomain($0) }
    if !names.isEmpty { configuration.peerNames = names }
    if let alpn {
      configuration.applicationProtocols = alpn
      configuration.requiresApplicationProtocol = !alpn.isEmpty
    }
    if let min {
      configuration.minimumVersion = try Self.word(min, "min", ["1.2": .tls12, "1.3": .tls13])
    }
    if let clientcert {
      guard role == .server else {
        throw TLSError(
          .configuration, "clientcert= is for listeners",
          hint: "a client shows a certificate when it has one: cert= and key=")
      }
      configuration.clientCertificates = try Self.word(
        clientcert, "clientcert", ["required": .required, "optional": .optional, "none": .none])
    }
    if let resume {
      configuration.resumesSessions = try Self.word(resume, "resume", ["on": true, "off": false])
    }
  }

  private static func word<Value>(
    _ text: String, _ name: String, _ values: [String: Value]
  ) throws(TLSError) -> Value {
    if let value = values[text] { return value }
    let list = values.keys.sorted().joined(separator: ", ")
    throw TLSError(.configuration, "\(name) is \"\(text)\", and has to be one of: \(list)")
  }
}
