import TLSTransport
import Testing
import TransportCore
import UnixTransport

@Suite struct ConfigurationErrorTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var isListener = false
    var words: [String]
    var set: @Sendable (TestPKI, inout TLSConfiguration) throws -> Void
  }

  static let cases: [Case] = [
    Case(
      testDescription: "certificate without key", words: ["client.pem", "without a private key"]
    ) {
      $1.key = nil
      _ = $0
    },
    Case(
      testDescription: "key without certificate", words: ["client.key", "without a certificate"]
    ) {
      $1.certificate = nil
      _ = $0
    },
    Case(
      testDescription: "CA and no verification", words: ["ca.pem", "verification is turned off"]
    ) {
      $1.verification = .none
      _ = $0
    },
    Case(
      testDescription: "key that does not fit", words: ["server.key", "does not fit", "client.pem"]
    ) {
      $1.key = .file($0.path("server.key"))
    },
    Case(testDescription: "missing file", words: ["nowhere.pem", "No such file"]) {
      $1.authority = .file($0.path("nowhere.pem"))
    },
    Case(testDescription: "a directory", words: ["not a regular file"]) {
      $1.authority = .file($0.directory.path)
    },
    Case(testDescription: "not PEM", words: ["text.pem", "not PEM"]) {
      $1.authority = .file(try $0.directory.write("text.pem", Array("hello".utf8)))
    },
    Case(testDescription: "empty", words: ["empty.pem", "it is empty"]) {
      $1.authority = .file(try $0.directory.write("empty.pem", []))
    },
    Case(
      testDescription: "key where a certificate should be",
      words: ["client.key", "holds a private key"]
    ) {
      $1.certificate = .file($0.path("client.key"))
    },
    Case(
      testDescription: "certificate where a key should be",
      words: ["client.pem", "holds a certificate"]
    ) {
      $1.key = .file($0.path("client.pem"))
    },
    Case(testDescription: "versions the wrong way round", words: ["1.3", "above the maximum 1.2"]) {
      ($1.minimumVersion, $1.maximumVersion) = (.tls13, .tls12)
      _ = $0
    },
    Case(testDescription: "unknown suite", words: ["TLS_NOTHING", "no cipher suite"]) {
      $1.suites = ["TLS_NOTHING"]
      _ = $0
    },
    Case(testDescription: "suite of 1.2 with a minimum of 1.3", words: ["the minimum is 1.3"]) {
      $1.suites = ["ECDHE-ECDSA-AES128-GCM-SHA256"]
      $1.minimumVersion = .tls13
      _ = $0
    },
    Case(testDescription: "suite of 1.3 with a maximum of 1.2", words: ["the maximum is 1.2"]) {
      $1.suites = ["TLS_AES_128_GCM_SHA256"]
      $1.maximumVersion = .tls12
      _ = $0
    },
    Case(testDescription: "empty application protocol", words: ["1 to 255 bytes"]) {
      $1.applicationProtocols = [""]
      _ = $0
    },
    Case(testDescription: "nothing to expect", words: ["whose certificate to expect"]) {
      $1.serverName = nil
      _ = $0
    },
    Case(testDescription: "names and no verification", words: ["nothing would check it"]) {
      $1.verification = .none
      $1.authority = nil
      $1.peerNames = [.dns("a.example")]
      _ = $0
    },
    Case(
      testDescription: "listener without certificate", isListener: true,
      words: ["needs a certificate"]
    ) {
      ($1.certificate, $1.key) = (nil, nil)
      _ = $0
    },
    Case(testDescription: "listener without CA", isListener: true, words: ["needs the CA"]) {
      $1.authority = nil
      _ = $0
    },
    Case(
      testDescription: "listener with a CA for nobody", isListener: true,
      words: ["no client is asked"]
    ) {
      $1.clientCertificates = .none
      _ = $0
    },
    Case(
      testDescription: "listener that asks and does not verify", isListener: true,
      words: ["must not ask"]
    ) {
      $1.verification = .none
      $1.authority = nil
      _ = $0
    },
  ]

  @Test("What cannot work is an error at once, which names the file", arguments: cases)
  func errors(_ one: Case) async throws {
    let pki = try TestPKI()
    var configuration = one.isListener ? pki.server() : pki.client()
    try one.set(pki, &configuration)
    let layer = TLSLayer(configuration)
    let error: TransportError?
    if one.isListener {
      error = await #expect(throws: TransportError.self) {
        try await layer.checkListening(at: pki.address())
      }
      #expect(error?.code == .listenFailed)
    } else {
      // Nobody listens: it must not even be tried.
      error = await #expect(throws: TransportError.self) { try await connect(pki, configuration) }
      #expect(error?.code == .connectFailed)
      #expect(error?.attempts.first?.failure.outlook == .fatal)
    }
    #expect(tlsError(error)?.code == .configuration)
    for word in one.words {
      #expect(error?.description.contains(word) == true, "\(String(describing: error))")
    }
  }

  @Test("An encrypted key needs its passphrase, which is never shown")
  func passphrase() async throws {
    var configuration = TLSConfiguration()
    configuration.passphrase = TLSPassphrase("opensesame")
    configuration.key = .pem(Array("secret".utf8))
    var dumped = ""
    dump(configuration, to: &dumped)
    for text in ["\(configuration)", dumped, String(reflecting: configuration)] {
      #expect(!text.contains("opensesame"))
      #expect(!text.contains("115"), "the key's bytes")
    }
  }
}
