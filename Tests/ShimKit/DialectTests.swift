import ContainerdAPI
import FoundationEssentials
import ShimProtocol
import SwiftProtobuf
import Testing

@testable import ShimKit

@Suite("The dialects of start")
struct DialectTests {
  private typealias Params = Containerd_Runtime_Bootstrap_V1_BootstrapParams

  private static func invocation(
    _ id: String = "web", _ namespace: String = "ns", daemon: String? = "2"
  ) throws -> ShimInvocation {
    var environment = ["TTRPC_ADDRESS": "/old.ttrpc"]
    environment["MAX_SHIM_VERSION"] = daemon
    var arguments = ["shim", "-address", "/old"]
    if !namespace.isEmpty { arguments += ["-namespace", namespace] }
    if !id.isEmpty { arguments += ["-id", id] }
    return try ShimInvocation(arguments: arguments + ["start"], environment: environment)
  }

  private static func request(
    _ input: [UInt8], id: String = "web", namespace: String = "ns", daemon: String? = "2"
  ) throws -> StartRequest {
    try StartRequest(try invocation(id, namespace, daemon: daemon), input: input, bundle: "/b")
  }

  private static func params(_ change: (inout Params) -> Void = { _ in }) throws -> [UInt8] {
    var params = Params()
    params.instanceID = "web"
    params.namespace = "ns"
    params.containerdVersion = "v2.3.0"
    params.containerdTtrpcAddress = "/new.ttrpc"
    params.containerdGrpcAddress = "/new"
    change(&params)
    return try params.serializedBytes()
  }

  private static func options() throws -> [UInt8] {
    try TypeURL.pack(Containerd_Runc_V1_Options.with { $0.binaryName = "crun" }).serializedBytes()
  }

  @Test(
    "which generation asks follows from its environment and from whom its message is for",
    arguments: [nil, "2"] as [String?], [false, true])
  func older(_ daemon: String?, _ hasOptions: Bool) throws {
    let request = try Self.request(hasOptions ? Self.options() : [], daemon: daemon)
    #expect(request.dialect == (daemon == nil ? .plain : .json))
    #expect(request.daemonAddress == "/old" && request.eventsAddress == "/old.ttrpc")
    #expect(
      try request.extension(Containerd_Runc_V1_Options.self)?.binaryName
        == (hasOptions ? "crun" : nil))
  }

  @Test("containerd 2.3 says all of it in its message", arguments: [nil, "2"] as [String?])
  func newer(_ daemon: String?) throws {
    let input = try Self.params { params in
      params.logLevel = .UNRECOGNIZED(-5)
      params.socketDir = "/run/sockets"
      params.extensions = [
        .with {
          $0.value = .with { any in
            any.typeURL = "containerd.runc.v1.Options"
            any.value =
              (try? Containerd_Runc_V1_Options.with { $0.binaryName = "crun" }
                .serializedBytes()) ?? .init()
          }
        }, .init(),
      ]
    }
    // A field and a message that do not exist yet.
    let request = try Self.request(input + [0xa2, 0x06, 0x01, 0x78], daemon: daemon)
    #expect(request.dialect == .protobuf)
    #expect(request.debug)
    #expect(request.daemonAddress == "/new" && request.eventsAddress == "/new.ttrpc")
    #expect(request.daemonVersion == "v2.3.0" && request.socketDirectory == "/run/sockets")
    #expect(request.extensions.count == 1)
    #expect(try request.extension(Containerd_Runc_V1_Options.self)?.binaryName == "crun")
  }

  @Test("a daemon without flags is known by its message")
  func withoutFlags() throws {
    let request = try Self.request(try Self.params(), id: "", namespace: "")
    #expect(request.dialect == .protobuf && request.id == "web" && request.namespace == "ns")
  }

  @Test(
    "a message that is for somebody else, damaged, or without an id is refused",
    arguments: [
      (try? params { $0.instanceID = "other" }, "web"),
      (try? params { $0.namespace = "elsewhere" }, "web"),
      (Array("{}".utf8), "web"), ([0x0a, 0x7f], "web"), ([], ""),
      (try? params { $0.instanceID = "../web" }, ""),
    ] as [([UInt8]?, String)])
  func refused(_ input: [UInt8]?, _ id: String) throws {
    let input = try #require(input)
    #expect(throws: ShimKitError.self) {
      try Self.request(input, id: id, namespace: id.isEmpty ? "" : "ns")
    }
  }

  @Test("options whose value is text are no bootstrap params")
  func ambiguous() throws {
    let any =
      try Google_Protobuf_Any.with {
        $0.typeURL = "web.Options"
        $0.value = .init("k8s.io".utf8)
      }.serializedBytes() as [UInt8]
    let request = try Self.request(any)
    #expect(request.dialect == .json && request.extensions.first?.typeURL == "web.Options")
  }

  @Test(
    "the answer is in the words of who asked, and no newer than it understands",
    arguments: [
      (.plain, [2, 3], 2, 2), (.plain, [2, 3], 3, 2), (.plain, [3], 3, nil),
      (.json, [2, 3], 2, 2), (.json, [2, 3], 3, 3), (.json, [2], 3, 2), (.json, [3], 2, nil),
      (.protobuf, [2, 3], 2, 3), (.protobuf, [2], 2, 2), (.protobuf, [], 3, nil),
    ] as [(StartRequest.Dialect, Set<Int>, Int, Int?)])
  func reply(
    _ dialect: StartRequest.Dialect, _ served: Set<Int>, _ jsonVersion: Int, _ version: Int?
  ) throws {
    func reply() throws -> StartReply {
      try StartReply(to: dialect, address: "unix:///x", served: served, jsonVersion: jsonVersion)
    }
    guard let version else {
      #expect(throws: ShimKitError.self) { try reply() }
      return
    }
    let read = try BootstrapReply(try reply().bytes())
    #expect(read.dialect.rawValue == dialect.rawValue)
    #expect(read.params.version == version)
    #expect(read.params.address == "unix:///x" && read.params.protocolName == "ttrpc")
  }
}
