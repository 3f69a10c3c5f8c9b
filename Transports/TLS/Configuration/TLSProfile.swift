internal import FoundationEssentials

/// A profile: a JSON file that says what an address's parameters would.
///
///     {"ca": "ca.pem", "cert": "client.pem", "key": "client.key", "trustdomain": "example.org"}
///
/// `name`, `uri`, `trustdomain` and `alpn` are strings or lists of strings. Paths that are not
/// absolute are meant from the profile's directory. A key that is not known is an error: it may be a
/// check that somebody relies on, misspelt.
enum TLSProfile {
  static func load(_ path: String) async throws(TLSError) -> TLSSettings {
    let result = await TLSCredentials.onThread { () -> Result<TLSSettings, TLSError> in
      do throws(TLSError) {
        return .success(try read(path))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Blocks for as long as the disk takes.
  static func read(_ path: String) throws(TLSError) -> TLSSettings {
    try parse(try MaterialBytes(.file(path), "the TLS profile").bytes, path)
  }

  static func parse(_ bytes: [UInt8], _ path: String) throws(TLSError) -> TLSSettings {
    do {
      var settings = TLSSettings()
      let values = try JSONDecoder().decode([String: Texts].self, from: Data(bytes))
      for (name, value) in values.sorted(by: { $0.key < $1.key }) {
        guard let parameter = TLSParameter(rawValue: name), parameter != .profile else {
          throw TLSError(
            .configuration, "the TLS profile \(path) has the key \"\(name)\", which is not known",
            hint: "known are: "
              + TLSParameter.names.subtracting(["profile"]).sorted().joined(separator: ", "))
        }
        try settings.set(parameter, value.texts, path)
      }
      return settings
    } catch let error as TLSError {
      throw error
    } catch {
      throw TLSError(
        .configuration,
        "the TLS profile \(path) is not a JSON object of strings and lists of strings")
    }
  }

  private struct Texts: Decodable {
    var texts: [String]

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let text = try? container.decode(String.self) {
        texts = [text]
      } else {
        // Not one string: then a list, or else an error of its own.
        texts = try container.decode([String].self)
      }
    }
  }
}

extension TLSSettings {
  fileprivate mutating func set(
    _ parameter: TLSParameter, _ texts: [String], _ path: String
  ) throws(TLSError) {
    func one() throws(TLSError) -> String {
      guard texts.count == 1, !texts[0].isEmpty else {
        throw TLSError(
          .configuration, "the TLS profile \(path) has to give \(parameter.rawValue) one value")
      }
      return texts[0]
    }
    func file() throws(TLSError) -> String {
      let name = try one()
      guard name.utf8.first != UInt8(ascii: "/"),
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
      else { return name }
      return path[...slash] + name
    }
    switch parameter {
    case .profile: break
    case .ca: ca = try file()
    case .cert: cert = try file()
    case .key: key = try file()
    case .servername: servername = try one()
    case .verify: verify = try one()
    case .name: name = texts
    case .uri: uri = texts
    case .trustdomain: trustdomain = texts
    case .alpn: alpn = texts
    case .min: min = try one()
    case .clientcert: clientcert = try one()
    case .resume: resume = try one()
    }
  }
}
