import NIOCore
import Testing
import TransportCore

@Suite struct TransportRegistryTests {
  private let log = ScriptedLayer.Log()
  private let connector = ScriptedConnector("coop", parameters: ["seed"])
  private let factory = ScriptedListenerFactory("coop", parameters: ["perch", "seed"])

  private func registry(_ layers: ScriptedLayer...) -> TransportRegistry {
    var registry = TransportRegistry([connector])
    registry.register(factory)
    for layer in layers { registry.register(layer) }
    return registry
  }

  private func layer(_ name: String, isSecure: Bool = false) -> ScriptedLayer {
    ScriptedLayer(name: name, parameters: ["\(name)key"], isSecure: isSecure, log: log)
  }

  private func error(_ body: () async throws -> Void) async -> TransportError? {
    do {
      try await body()
      Issue.record("nothing was thrown")
      return nil
    } catch {
      return error as? TransportError
    }
  }

  private func dial(_ text: String, _ registry: TransportRegistry) async throws {
    let address = try registry.parse(text)
    _ = try await registry.connect(to: address) { _ in }
  }

  private func listen(_ text: String, _ registry: TransportRegistry) async throws {
    _ = try await registry.listen(at: try registry.parse(text))
  }

  @Test("Layers dial from the outside in, each the rest of the address")
  func dialling() async throws {
    let registry = registry(layer("wool"), layer("wire"))
    #expect(registry.layerNames == ["wire", "wool"])
    #expect((registry.transports, registry.listeningTransports) == (["coop"], ["coop"]))
    try await dial("ttrpc+wool+wire+coop://east?seed=1", registry)
    #expect(
      log.all == [
        "dial wool ttrpc+wool+wire+coop://east?seed=1", "dial wire ttrpc+wire+coop://east?seed=1",
      ])
    #expect(connector.attempts.map { "\($0.address)" } == ["ttrpc+coop://east?seed=1"])
  }

  @Test("Layers listen from the inside out, when all of them have agreed to")
  func listening() async throws {
    let registry = registry(layer("wool"), layer("wire", isSecure: true))
    try await listen("wool+wire+coop://east", registry)
    #expect(
      log.all == [
        "check wool wool+wire+coop://east", "check wire wire+coop://east",
        "listen wire wire+coop://east", "listen wool wool+wire+coop://east",
      ])
    #expect(factory.listeners.map { "\($0.boundAddress)" } == ["coop://east"])
    #expect(factory.options.map(\.plaintext) == [.secured])
  }

  @Test("Only a secure layer lets the transport beneath cross a network in the clear")
  func plaintext() async throws {
    try await listen("wool+coop://east", registry(layer("wool")))
    try await listen("coop://east", registry())
    #expect(factory.options.map(\.plaintext) == [.loopbackOnly, .loopbackOnly])
  }

  @Test("What a layer lacks is found out before anything is bound")
  func checkFails() async {
    var wool = layer("wool")
    wool.checkFailure = TransportError(code: .listenFailed, message: "no certificate")
    let error = await error { try await listen("wool+coop://east", registry(wool)) }
    #expect(error?.message == "no certificate")
    #expect(factory.listeners.isEmpty)
  }

  @Test("A layer that fails to listen leaves nothing bound")
  func layerFails() async {
    var wool = layer("wool")
    wool.listenFailure = TransportError(code: .listenFailed, message: "no wool")
    let error = await error {
      try await listen("wool+wire+coop://east", registry(wool, layer("wire")))
    }
    #expect(error?.message == "no wool")
    #expect(factory.listeners.map(\.isClosed) == [true])
  }

  @Test("A parameter that nobody understands is an error before anything is done, with a guess")
  func unknownParameters() async {
    let registry = registry(layer("wool"))
    let dialled = await error { try await dial("wool+coop://east?sead=1", registry) }
    #expect(dialled?.code == .invalidAddress)
    #expect(
      dialled?.description
        == "wool+coop://east?sead=1 has the parameter \"sead\", which wool+coop does not "
        + "understand. Did you mean seed?")
    #expect(connector.tries == 0)
    let listened = await error { try await listen("coop://east?woolkey=1", registry) }
    #expect(listened?.code == .invalidAddress)
    #expect(listened?.hint == "it understands id, perch, seed, streaming_id")
    #expect(factory.listeners.isEmpty)
  }

  @Test("Parameters of layers, of the transport and of streams are understood")
  func knownParameters() async throws {
    let registry = registry(layer("wool"))
    try await dial("wool+coop://east?seed=1&woolkey=x&streaming_id=y&id=z", registry)
    try await listen("wool+coop://east?perch=1&woolkey=x", registry)
  }

  @Test("What is not registered is named, with what is")
  func missing() async throws {
    let wool = try registry(layer("wool")).parse("wool+coop://east")
    let cases: [(TransportRegistry, TransportAddress, Bool, String)] = [
      (
        registry(), wool, false,
        "cannot connect to wool+coop://east: there is no connector for the layer \"wool\"; none is "
          + "registered"
      ),
      (
        registry(layer("wire")), wool, true,
        "cannot listen at wool+coop://east: there is no listener for the layer \"wool\"; "
          + "registered are: wire"
      ),
      (
        registry(), TransportAddress(place: .memory(name: "x")), true,
        "cannot listen at memory://x: there is no listener for the transport \"memory\"; "
          + "registered are: coop"
      ),
      (
        TransportRegistry(), TransportAddress(place: .memory(name: "x")), false,
        "cannot connect to memory://x: there is no connector for the transport \"memory\"; none is "
          + "registered"
      ),
    ]
    for (registry, address, listens, message) in cases {
      let error = await error {
        if listens {
          _ = try await registry.listen(at: address)
        } else {
          _ = try await registry.connect(to: address) { _ in }
        }
      }
      #expect(error?.code == .noConnector)
      #expect(error?.message == message)
    }
  }

  @Test("Beneath a secure layer a policy of the caller's is left to the layer")
  func beneathLayer() {
    var options = ConnectOptions()
    #expect(options.beneathLayer.policy == nil)
    #expect(options.beneathLayer.plaintext == .secured)
    options.policy = .hostOnly
    #expect(options.beneathLayer.policy?.name == "anyone")
  }
}
