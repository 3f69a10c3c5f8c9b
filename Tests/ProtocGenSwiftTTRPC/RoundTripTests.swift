import RPCCore
import RPCLoopback
import SwiftProtobuf
import Testing

@Suite("Generated clients and services, joined")
struct RoundTripTests {
  /// The service in one of the kinds of types that can serve it.
  enum Kind: CaseIterable {
    case `struct`, `actor`, `class`, mainActor

    func loopback() -> Loopback {
      var loopback = Loopback()
      switch self {
      case .struct: PlainCalculator().register(on: &loopback)
      case .actor: ActorCalculator().register(on: &loopback)
      case .class: ClassCalculator().register(on: &loopback)
      case .mainActor: MainCalculator().register(on: &loopback)
      }
      return loopback
    }

    func client() -> Test_Kinds_V1_CalculatorClient<Loopback> {
      Test_Kinds_V1_CalculatorClient(caller: loopback())
    }
  }

  private func number(_ value: Int64) -> Test_Kinds_V1_Number { .with { $0.value = value } }

  @Test(arguments: Kind.allCases)
  func aUnaryCall(_ kind: Kind) async throws {
    #expect(try await kind.client().double(number(21)).value == 42)
  }

  @Test(arguments: Kind.allCases)
  func manyRequestsForOneResponse(_ kind: Kind) async throws {
    let call = try await kind.client().sum()
    for value in 1...10 { try await call.send(number(Int64(value))) }
    let total = try await call.response()
    #expect((total.value, total.count) == (55, 10))
  }

  @Test(arguments: Kind.allCases)
  func oneRequestForManyResponses(_ kind: Kind) async throws {
    let parts = try await kind.client().divide(
      .with {
        $0.value = 12
        $0.count = 4
      })
    var values: [Int64] = []
    for try await part in parts { values.append(part.value) }
    #expect(values == [3, 3, 3, 3])
  }

  @Test(arguments: Kind.allCases)
  func messagesBothWaysInTurn(_ kind: Kind) async throws {
    let call = try await kind.client().accumulate()
    for (value, sum) in [(1, 1), (2, 3), (3, 6)] as [(Int64, Int64)] {
      try await call.send(number(value))
      #expect(try await call.responses.next()?.value == sum)
    }
    try await call.finishSending()
    #expect(try await call.responses.next() == nil)
  }

  @Test(arguments: Kind.allCases)
  func whatAServiceThrowsComesToItsCaller(_ kind: Kind) async throws {
    let parts = try await kind.client().divide(.with { $0.value = 1 })
    let error = await #expect(throws: RPCCore.RPCError.self) { _ = try await parts.next() }
    #expect(error?.code == .invalidArgument)
  }

  @Test(arguments: Kind.allCases)
  func optionsReachTheService(_ kind: Kind) async throws {
    let options = RPCCallOptions(metadata: ["seconds": "1234"])
    #expect(try await kind.client().now(Google_Protobuf_Empty(), options: options).seconds == 1234)
  }

  @Test func aServiceSaysWhereItsHandlersRun() {
    typealias Methods = Test_Kinds_V1_CalculatorMethods
    var loopback = Loopback()
    PlainCalculator().register(on: &loopback)
    #expect(Set(loopback.executions.values) == [.pool])
    PlainCalculator().register(
      on: &loopback, execution: .eventLoop, except: [Methods.sum: .pool, Methods.now: .pool])
    #expect(
      loopback.executions == [
        Methods.double: .eventLoop, Methods.sum: .pool, Methods.divide: .eventLoop,
        Methods.accumulate: .eventLoop, Methods.now: .pool,
      ])
  }

  @Test func methodsTravelByTheNamesOfTheProtoFile() {
    #expect(
      KeywordsMethods.all.map(\.method.path) == [
        "Keywords/init", "Keywords/self", "Keywords/Self", "Keywords/Default", "Keywords/Type",
        "Keywords/Protocol", "Keywords/import", "Keywords/Any", "Keywords/All",
        "Keywords/ServiceName", "Keywords/Caller", "Keywords/Register",
      ])
    #expect(CasesMethods.doThing.name == "DoThing")
    #expect(CasesMethods.doThing3.name == "do_thing")
    #expect(CasesMethods.get2.path == "Cases/get")
    #expect(LowerMethods.lower.path == "lower/lower")
    #expect(Test_Kinds_V1_CalculatorMethods.serviceName == "test.kinds.v1.Calculator")
  }

  @Test func theSignaturesTellKindsAndMessages() {
    let all = Test_Kinds_V1_CalculatorMethods.all
    #expect(
      all.map(\.kind) == [nil, .clientStreaming, .serverStreaming, .bidirectional, nil])
    #expect(all[2].request.protoMessageName == "test.kinds.v1.Number.Total")
    #expect(all[2].response.protoMessageName == "test.shared.Part.Piece")
    #expect(NothingMethods.all.isEmpty)
  }
}

@Suite("Services whose methods are called as Swift's own words")
struct KeywordTests {
  /// Answers each call with its method's name.
  struct Named: KeywordsService {
    private func reply(_ context: RPCServerContext) -> RPCError {
      .with { $0.text = context.method.name }
    }

    func `init`(_ request: Caller, context: RPCServerContext) async -> RPCError { reply(context) }
    func selfMethod(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func selfMethod2(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func `default`(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func type(_ requests: RPCReader<Caller>, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func `protocol`(
      _ request: Caller, responses: RPCWriter<RPCError>, context: RPCServerContext
    ) async throws {
      try await responses.send(reply(context))
    }
    func `import`(
      _ requests: RPCReader<Caller>, responses: RPCWriter<RPCError>, context: RPCServerContext
    ) async throws {
      try await responses.send(reply(context))
    }
    func any(_ request: Caller, context: RPCServerContext) async -> RPCError { reply(context) }
    func allMethod(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func serviceNameMethod(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func callerMethod(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
    func register(_ request: Caller, context: RPCServerContext) async -> RPCError {
      reply(context)
    }
  }

  @Test func allCanBeCalledAndServed() async throws {
    var loopback = Loopback()
    Named().register(on: &loopback)
    let client = KeywordsClient(caller: loopback)
    let request = Caller()
    #expect(try await client.`init`(request).text == "init")
    #expect(try await client.selfMethod(request).text == "self")
    #expect(try await client.selfMethod2(request).text == "Self")
    #expect(try await client.default(request).text == "Default")
    #expect(try await client.type().response().text == "Type")
    #expect(try await client.protocol(request).next()?.text == "Protocol")
    #expect(try await client.import().responses.next()?.text == "import")
    #expect(try await client.any(request).text == "Any")
    #expect(try await client.allMethod(request).text == "All")
    #expect(try await client.serviceNameMethod(request).text == "ServiceName")
    #expect(try await client.callerMethod(request).text == "Caller")
    #expect(try await client.register(request).text == "Register")
  }
}
