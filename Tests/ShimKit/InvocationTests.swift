import Testing

@testable import ShimKit

@Suite("The shim's command line")
struct InvocationTests {
  @Test(
    "flags are read as Go reads them",
    arguments: [
      (["-id", "web", "start"], ["id": "web"], [], "start"),
      (["--id=web", "delete"], ["id": "web"], [], "delete"),
      (["-id=a=b"], ["id": "a=b"], [], nil),
      (["-debug", "-id", "x", "start", "-v"], ["id": "x"], ["debug"], "start"),
      (["-debug=false"], [:], [], nil),
      (["-debug=T"], [:], ["debug"], nil),
      (["-bundle", "-strange", "delete"], ["bundle": "-strange"], [], "delete"),
      (["--", "-start"], [:], [], "-start"),
      (["-"], [:], [], "-"),
      (["-id="], ["id": ""], [], nil),
      (["-debug-socket", "/x"], ["debug-socket": "/x"], [], nil),
      ([], [:], [], nil),
    ] as [([String], [String: String], Set<String>, String?)])
  func flags(
    _ arguments: [String], _ values: [String: String], _ switches: Set<String>, _ action: String?
  ) throws {
    let flags = try ShimFlags(arguments)
    #expect(flags.values == values)
    #expect(flags.switches == switches)
    #expect(flags.action == action)
  }

  @Test(
    "what is no flag of a shim is an error that names it",
    arguments: [["-x"], ["-id"], ["-debug=perhaps"], ["--nothing=1"]])
  func refused(_ arguments: [String]) {
    let error = #expect(throws: ShimKitError.self) { try ShimFlags(arguments) }
    #expect(error?.code == .invalidArguments)
  }

  private static let both = ["-namespace", "ns", "-id", "web"]

  @Test(
    "the action is the first word, and -v and -info come before it",
    arguments: [
      (both + ["start"], .start), (both + ["delete"], .delete), (both, .serve),
      (["-v", "start"], .version), (["-version"], .version), (["-info"], .info),
      (["start"], .start),
    ] as [([String], ShimInvocation.Action)])
  func action(_ arguments: [String], _ action: ShimInvocation.Action) throws {
    #expect(try ShimInvocation(arguments: ["shim"] + arguments, environment: [:]).action == action)
  }

  @Test(
    "ids and namespaces that could lead out of a directory are refused",
    arguments: [
      ["-namespace", "../x", "-id", "web", "start"], ["-namespace", "ns", "-id", "a/b", "delete"],
      ["-namespace", "ns", "delete"], ["-id", "web"], both + ["restart"],
    ])
  func invalid(_ arguments: [String]) {
    let error = #expect(throws: ShimKitError.self) {
      try ShimInvocation(arguments: ["shim"] + arguments, environment: [:])
    }
    #expect(error?.code == .invalidArguments)
  }

  @Test("addresses come from flags and environment")
  func addresses() throws {
    let environment = [
      "GRPC_ADDRESS": "/grpc", "TTRPC_ADDRESS": "/ttrpc", "MAX_SHIM_VERSION": "2",
    ]
    let some = try ShimInvocation(arguments: ["shim"] + Self.both, environment: environment)
    #expect(some.daemonAddress == "/grpc" && some.eventsAddress == "/ttrpc")
    #expect(some.maximumShimVersion == "2")
    let flagged = try ShimInvocation(
      arguments: ["shim", "-address", "/flag"] + Self.both, environment: environment)
    #expect(flagged.daemonAddress == "/flag")
  }
}
