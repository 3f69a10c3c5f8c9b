import Testing
import TransportCore

@Suite struct AddressSecrecyTests {
  static let secret = "hunter2"

  @Test(
    "A secret is in the text and in no description",
    arguments: [
      "tls://h:1?password=hunter2", "tls://h:1?PSK=hunter2", "tls://h:1?client_key=hunter2",
      "tls://h:1?a=b&Token=hunter2", "exec://?arg=/bin/x&env=HOME=hunter2",
      "exec://?arg=/bin/x&arg=--token=hunter2",
    ])
  func redacts(text: String) throws {
    let address = try TransportAddress(parsing: text)
    #expect(address.text.contains(Self.secret))
    #expect(!address.description.contains(Self.secret))
    #expect(!String(reflecting: address).contains(Self.secret))
    #expect(!"\(address.parameters)".contains(Self.secret))
    #expect(address.description.contains("***"))
  }

  @Test("What is no secret is shown")
  func shows() throws {
    let address = try TransportAddress(parsing: "tls://h:1?servername=x")
    #expect(address.description == "tls://h:1?servername=x")
  }

  @Test(
    "An error does not quote what may be a secret",
    arguments: [
      "tls//h:1?password=hunter2", "tls://h?password=hunter2", "tsl://h:1?password=hunter2",
      "tcp://user:hunter2@host:1", "tcpp://user:hunter2@host:1", "tls://h:1?password=hunter2%",
      "TLS://h:1?password=hunter2", "tcp:user:hunter2@host:1",
    ])
  func errors(text: String) {
    let error = #expect(throws: TransportError.self) { try TransportAddress(parsing: text) }
    #expect(error?.description.contains(Self.secret) == false, "\(error?.description ?? "")")
    let lenient = #expect(throws: (any Error).self) {
      let (address, corrections) = try TransportAddress.parseLenient(text)
      throw TransportError(code: .invalidAddress, message: "\(address) \(corrections)")
    }
    #expect("\(lenient, default: "")".contains(Self.secret) == false)
  }

  @Test("An error shows no control bytes and is bounded")
  func bounded() {
    let error = #expect(throws: TransportError.self) {
      try TransportAddress(parsing: "unix:///\u{1b}[2J" + String(repeating: "x", count: 5000))
    }
    let text = error?.description ?? ""
    #expect(!text.utf8.contains(0x1b))
    #expect(text.utf8.count < 1000)
  }
}
