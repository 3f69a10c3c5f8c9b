import SwiftProtobuf
import Testing

@testable import ShimProtocol

@Suite("ShimCommandLine")
struct ShimCommandLineTests {
  private func context(debug: Bool = false) -> ShimCommandLine.Context {
    .init(
      binary: "/usr/bin/containerd-shim-runc-v2", bundle: "/run/h/ns/c1", namespace: "ns",
      id: "c1", daemonAddress: "/run/h/h.sock", eventsAddress: "/run/h/h.sock.ttrpc",
      publishBinary: "/usr/bin/hawse", debug: debug)
  }

  @Test("start is called as containerd 1.6 to 2.2 call it", arguments: [false, true])
  func start(debug: Bool) throws {
    let command = try ShimCommandLine.start(context(debug: debug), inherited: [:])
    #expect(command.executable == "/usr/bin/containerd-shim-runc-v2")
    #expect(
      command.arguments == [
        "-namespace", "ns", "-address", "/run/h/h.sock", "-publish-binary", "/usr/bin/hawse",
        "-id", "c1",
      ] + (debug ? ["-debug"] : []) + ["start"])
    #expect(command.workingDirectory == "/run/h/ns/c1")
    #expect(command.standardInput.isEmpty)
  }

  @Test("delete names the bundle, and gets no input", arguments: [false, true])
  func delete(debug: Bool) throws {
    let command = try ShimCommandLine.delete(context(debug: debug), inherited: ["A": "1"])
    #expect(
      command.arguments == [
        "-namespace", "ns", "-address", "/run/h/h.sock", "-publish-binary", "/usr/bin/hawse",
        "-id", "c1", "-bundle", "/run/h/ns/c1",
      ] + (debug ? ["-debug"] : []) + ["delete"])
    #expect(command.workingDirectory == "/run/h/ns/c1")
    #expect(command.standardInput.isEmpty)
    #expect(command.environment["A"] == "1")
    #expect(command.environment["NAMESPACE"] == "ns")
  }

  @Test("the environment is the inherited one, the contract's over it, the settings' over both")
  func environment() throws {
    let command = try ShimCommandLine.start(
      context(), inherited: ["PATH": "/bin", "NAMESPACE": "other", "X": "old"],
      extra: ["X": "new", "GOMAXPROCS": "4", "SCHED_CORE": "1"])
    #expect(
      command.environment == [
        "PATH": "/bin", "X": "new", "GOMAXPROCS": "4", "SCHED_CORE": "1",
        "TTRPC_ADDRESS": "/run/h/h.sock.ttrpc", "GRPC_ADDRESS": "/run/h/h.sock",
        "NAMESPACE": "ns", "MAX_SHIM_VERSION": "2",
      ])
    #expect(
      try ShimCommandLine.delete(context(), inherited: [:]).environment["GOMAXPROCS"] == "2")
  }

  @Test("options go to standard input as an Any")
  func options() throws {
    var options = Google_Protobuf_Any()
    options.typeURL = "containerd.runc.v1.Options"
    let command = try ShimCommandLine.start(context(), inherited: [:], options: options)
    #expect(command.standardInput == [0x0a, 26] + Array("containerd.runc.v1.Options".utf8))
    #expect(try Google_Protobuf_Any(serializedBytes: command.standardInput) == options)
  }

  @Test("what cannot be passed on is refused")
  func refused() {
    func code(
      _ change: (inout ShimCommandLine.Context) -> Void, inherited: [String: String] = [:]
    ) -> ShimProtocolError.Code? {
      var context = context()
      change(&context)
      return #expect(throws: ShimProtocolError.self) {
        try ShimCommandLine.start(context, inherited: inherited)
      }?.code
    }
    #expect(code { $0.id = "../c1" } == .invalidIdentifier)
    #expect(code { $0.namespace = "" } == .invalidIdentifier)
    #expect(code { $0.binary = "shim" } == .invalidArgument)
    #expect(code { $0.bundle = "." } == .invalidArgument)
    #expect(code { $0.publishBinary = "" } == .invalidArgument)
    #expect(code { $0.daemonAddress = "/a\0b" } == .invalidArgument)
    #expect(code({ _ in }, inherited: ["A": "x\0y"]) == .invalidArgument)
    #expect(code({ _ in }, inherited: ["": "x"]) == .invalidArgument)
  }
}
