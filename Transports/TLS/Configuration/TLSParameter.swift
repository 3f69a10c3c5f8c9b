internal import TransportCore

/// The address parameters of TLS.
///
/// - `profile`: a JSON file with any of the others in it.
/// - `ca`, `cert`, `key`: PEM files. `cert` and `key` come together.
/// - `servername`: what to ask for (SNI) and, without names of their own, to expect. Clients only.
/// - `verify`: `full`, or `none` for a client that takes anybody.
/// - `name`, `uri`, `trustdomain`: what the peer's certificate must be for, one of all that are given:
///   a DNS name or IP literal, a URI, or any SPIFFE ID of a trust domain.
/// - `alpn`: application protocols, separated by commas, the best first; one of them is then required.
/// - `min`: the minimum version, `1.2` or `1.3`.
/// - `clientcert`: `required`, `optional` or `none`. Listeners only.
/// - `resume`: `on` or `off`.
enum TLSParameter: String, CaseIterable {
  case profile, ca, cert, key, servername, verify, name, uri, trustdomain, alpn, min, clientcert
  case resume

  static let names = Set(allCases.map(\.rawValue))
}

extension TLSConfiguration {
  /// What an address makes of this configuration.
  ///
  /// - Parameter role: decides which parameters make sense.
  func resolved(
    for address: TransportAddress, role: TLSRole
  ) async throws(TLSError) -> TLSConfiguration {
    var settings = TLSSettings()
    if let path = address.parameter(TLSParameter.profile.rawValue) {
      settings = try await TLSProfile.load(path)
    }
    settings.override(by: try TLSSettings(address))
    var configuration = self
    try settings.apply(to: &configuration, role: role)
    if configuration.applicationProtocols.isEmpty, address.rpc == .grpc {
      configuration.applicationProtocols = ["h2"]
      configuration.requiresApplicationProtocol = true
    }
    return configuration
  }
}

extension TLSSettings {
  /// What an address's parameters say.
  init(_ address: TransportAddress) throws(TLSError) {
    self.init()
    for parameter in address.parameters {
      guard let known = TLSParameter(rawValue: parameter.name) else { continue }
      let value = parameter.value
      guard !value.isEmpty else {
        throw TLSError(.configuration, "the parameter \(parameter.name) of \(address) is empty")
      }
      switch known {
      case .profile: break
      case .ca: ca = value
      case .cert: cert = value
      case .key: key = value
      case .servername: servername = value
      case .verify: verify = value
      case .name: name = (name ?? []) + [value]
      case .uri: uri = (uri ?? []) + [value]
      case .trustdomain: trustdomain = (trustdomain ?? []) + [value]
      case .alpn:
        alpn = value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
      case .min: min = value
      case .clientcert: clientcert = value
      case .resume: resume = value
      }
    }
  }
}
