import RPCCore
import SwiftProtobuf
import Synchronization

// One service, served by every kind of type that Swift has for it. They differ in nothing else.

/// By a struct, in the caller's isolation.
struct PlainCalculator: Test_Kinds_V1_CalculatorService {
  nonisolated(nonsending) func double(
    _ request: Test_Kinds_V1_Number, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number {
    .with { $0.value = 2 * request.value }
  }

  nonisolated(nonsending) func sum(
    _ requests: RPCReader<Test_Kinds_V1_Number>, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number.Total {
    var total = Test_Kinds_V1_Number.Total()
    for try await number in requests { total.add(number) }
    return total
  }

  nonisolated(nonsending) func divide(
    _ request: Test_Kinds_V1_Number.Total, responses: RPCWriter<Test_Shared_Part.Piece>,
    context: RPCServerContext
  ) async throws {
    guard request.count > 0 else {
      throw RPCCore.RPCError(code: .invalidArgument, message: "nothing can be divided by 0")
    }
    for _ in 0..<request.count {
      try await responses.send(.with { $0.value = request.value / Int64(request.count) })
    }
  }

  nonisolated(nonsending) func accumulate(
    _ requests: RPCReader<Test_Kinds_V1_Number>, responses: RPCWriter<Test_Kinds_V1_Number.Total>,
    context: RPCServerContext
  ) async throws {
    var total = Test_Kinds_V1_Number.Total()
    for try await number in requests {
      total.add(number)
      try await responses.send(total)
    }
  }

  nonisolated(nonsending) func now(
    _ request: Google_Protobuf_Empty, context: RPCServerContext
  ) async throws -> Google_Protobuf_Timestamp {
    Google_Protobuf_Timestamp(seconds: Int64(context.metadata["seconds"] ?? "") ?? 0, nanos: 0)
  }
}

/// By an actor, whose methods need not even be asynchronous.
actor ActorCalculator: Test_Kinds_V1_CalculatorService {
  private let plain = PlainCalculator()
  private var calls = 0

  func double(
    _ request: Test_Kinds_V1_Number, context: RPCServerContext
  ) -> Test_Kinds_V1_Number {
    calls += 1
    return .with { $0.value = 2 * request.value }
  }

  func sum(
    _ requests: RPCReader<Test_Kinds_V1_Number>, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number.Total {
    calls += 1
    return try await plain.sum(requests, context: context)
  }

  func divide(
    _ request: Test_Kinds_V1_Number.Total, responses: RPCWriter<Test_Shared_Part.Piece>,
    context: RPCServerContext
  ) async throws {
    try await plain.divide(request, responses: responses, context: context)
  }

  func accumulate(
    _ requests: RPCReader<Test_Kinds_V1_Number>, responses: RPCWriter<Test_Kinds_V1_Number.Total>,
    context: RPCServerContext
  ) async throws {
    try await plain.accumulate(requests, responses: responses, context: context)
  }

  func now(
    _ request: Google_Protobuf_Empty, context: RPCServerContext
  ) async throws -> Google_Protobuf_Timestamp {
    try await plain.now(request, context: context)
  }
}

/// By a class, with functions that run on the concurrency pool.
final class ClassCalculator: Test_Kinds_V1_CalculatorService {
  private let plain = PlainCalculator()
  private let calls = Mutex(0)

  @concurrent func double(
    _ request: Test_Kinds_V1_Number, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number {
    calls.withLock { $0 += 1 }
    return try await plain.double(request, context: context)
  }

  func sum(
    _ requests: RPCReader<Test_Kinds_V1_Number>, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number.Total {
    try await plain.sum(requests, context: context)
  }

  func divide(
    _ request: Test_Kinds_V1_Number.Total, responses: RPCWriter<Test_Shared_Part.Piece>,
    context: RPCServerContext
  ) async throws {
    try await plain.divide(request, responses: responses, context: context)
  }

  func accumulate(
    _ requests: RPCReader<Test_Kinds_V1_Number>, responses: RPCWriter<Test_Kinds_V1_Number.Total>,
    context: RPCServerContext
  ) async throws {
    try await plain.accumulate(requests, responses: responses, context: context)
  }

  func now(
    _ request: Google_Protobuf_Empty, context: RPCServerContext
  ) async throws -> Google_Protobuf_Timestamp {
    try await plain.now(request, context: context)
  }
}

/// By a class of the main actor's. Its methods must say so, too: they would be as the protocol's.
@MainActor final class MainCalculator: Test_Kinds_V1_CalculatorService {
  private let plain = PlainCalculator()
  private var calls = 0

  @MainActor func double(
    _ request: Test_Kinds_V1_Number, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number {
    calls += 1
    return try await plain.double(request, context: context)
  }

  @MainActor func sum(
    _ requests: RPCReader<Test_Kinds_V1_Number>, context: RPCServerContext
  ) async throws -> Test_Kinds_V1_Number.Total {
    try await plain.sum(requests, context: context)
  }

  @MainActor func divide(
    _ request: Test_Kinds_V1_Number.Total, responses: RPCWriter<Test_Shared_Part.Piece>,
    context: RPCServerContext
  ) async throws {
    try await plain.divide(request, responses: responses, context: context)
  }

  @MainActor func accumulate(
    _ requests: RPCReader<Test_Kinds_V1_Number>, responses: RPCWriter<Test_Kinds_V1_Number.Total>,
    context: RPCServerContext
  ) async throws {
    try await plain.accumulate(requests, responses: responses, context: context)
  }

  @MainActor func now(
    _ request: Google_Protobuf_Empty, context: RPCServerContext
  ) async throws -> Google_Protobuf_Timestamp {
    try await plain.now(request, context: context)
  }
}

extension Test_Kinds_V1_Number.Total {
  fileprivate mutating func add(_ number: Test_Kinds_V1_Number) {
    value += number.value
    count += 1
  }
}
