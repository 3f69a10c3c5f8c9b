import ContainerdAPI
import Glibc
import LinuxSystem
import ProcessSupervision
import RPCCore
import ShimProtocol
import ShimTestKit
import SwiftProtobuf
import TTRPC
import Testing
import TransportCore
import UnixTransport

@testable import ShimKit

/// A daemon's side of the test shim, with a directory of sockets of its own.
struct ShimFixture {
  let daemon: FakeDaemon
  var path: String { daemon.directory }
  var sockets: String { "\(path)/s" }

  static let namespace = "tests"
  static let directory: String = {
    // The tests' own file is beside what they run.
    let own = (try? linkTarget("/proc/self/exe")) ?? ""
    return String(own[..<(own.lastIndex(of: "/") ?? own.endIndex)])
  }()
  static let shim = "\(directory)/containerd-shim-kittest-v1"

  /// Runs a test with a fixture, kills what it left and removes its directory.
  static func with(_ body: (ShimFixture) async throws -> Void) async throws {
    let fixture = ShimFixture(daemon: try FakeDaemon(.v1_7, namespace: namespace))
    let result = await Result { try await body(fixture) }
    await fixture.daemon.stop()
    for process in fixture.processes() { process.signal(SIGKILL) }
    for process in fixture.processes() { _ = await process.waitForEnd(within: .seconds(30)) }
    var removal = try await fixture.remove()
    // A manager that sees its shim gone clears up, too, and rm fails when it meets that.
    for _ in 0..<50 where !removal.status.isSuccess {
      try await Task.sleep(for: .milliseconds(100))
      removal = try await fixture.remove()
    }
    #expect(
      removal.status.isSuccess, "\(String(decoding: removal.standardError, as: UTF8.self))")
    try result.get()
  }

  private func remove() async throws -> CapturedOutput {
    try await Command("/bin/rm", arguments: ["-rf", path]).run(timeout: .seconds(60))
  }

  /// A bundle, with the group that the test shim is to put it into.
  func bundle(_ id: String, group: String? = nil) throws -> String {
    try daemon.makeBundle(id)
    let bundle = daemon.bundle(id)
    if let group {
      try BundleFiles(path: bundle).writeAtomically(
        "config.json", Array(#"{"annotations":{"tests/group":"\#(group)"}}"#.utf8))
    }
    return bundle
  }

  /// Runs `start` as a generation of daemons does.
  func start(
    _ id: String, group: String? = nil, as generation: FakeDaemon.Generation = .v1_7,
    environment: [String] = [], binary: String = Self.shim
  ) async throws -> CapturedOutput {
    _ = try bundle(id, group: group)
    return try await daemon.run(
      binary, id: id, as: generation,
      environment: environment + ["KITTEST_SOCKETS=\(sockets)"], within: .seconds(120))
  }

  func delete(
    _ id: String, environment: [String] = [], binary: String = Self.shim
  ) async throws -> CapturedOutput {
    try await daemon.runDelete(
      binary, id: id, environment: environment + ["KITTEST_SOCKETS=\(sockets)"],
      within: .seconds(120))
  }

  /// The answer of a `start` that must have gone well.
  func started(
    _ output: CapturedOutput, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> BootstrapReply {
    #expect(
      output.status.isSuccess, "\(String(decoding: output.standardError, as: UTF8.self))",
      sourceLocation: sourceLocation)
    #expect(output.standardError == [], sourceLocation: sourceLocation)
    return try BootstrapReply(output.standardOutput)
  }

  /// Calls the shim at an answer's address.
  func call<Value: Sendable>(
    _ address: String, _ body: (TTRPCClient) async throws -> Value
  ) async throws -> Value {
    try await withTTRPCClient(
      to: TransportAddress(place: .unix(path: String(address.dropFirst("unix://".count)))),
      using: TransportRegistry([UnixConnector()]), options: ConnectOptions(timeout: .seconds(60)),
      body)
  }

  /// The pid of the shim that serves, by its own word.
  func pid(at address: String) async throws -> Int32 {
    try await call(address) { client in
      let task = Containerd_Task_V2_TaskClient(caller: client)
      return Int32(try await task.connect(.init()).shimPid)
    }
  }

  func shutDown(_ address: String) async throws {
    try await call(address) { client in
      let task = Containerd_Task_V2_TaskClient(caller: client)
      _ = try await task.shutdown(.init())
    }
  }

  /// The processes that belong to this fixture: their directory, or an argument, is below its own.
  func processes() -> [ProcessIdentity] {
    guard let proc = try? OwnedDescriptor(opening: "/proc", O_RDONLY | O_DIRECTORY),
      let names = try? proc.names()
    else { return [] }
    return names.compactMap { Int32($0) }.filter { $0 != getpid() }.compactMap { pid in
      // Gone meanwhile, or a kernel's thread.
      guard let directory = try? linkTarget("/proc/\(pid)/cwd"), directory.hasPrefix(path + "/"),
        let name = ProcessStatus.executable(of: pid), name.contains("containerd-shim-")
      else { return nil }
      return ProcessIdentity(pid: pid)
    }
  }

  func noProcess(sourceLocation: SourceLocation = #_sourceLocation) async throws {
    for process in processes() {
      let ended = await process.waitForEnd(within: .seconds(60))
      #expect(ended, "\(process) is left", sourceLocation: sourceLocation)
    }
  }

  /// What is in the directory of sockets: sockets and locks.
  func leftovers() throws -> [String] {
    guard access(sockets, F_OK) == 0 else { return [] }
    return try OwnedDescriptor(opening: sockets, O_RDONLY | O_DIRECTORY).names()
  }

  func has(_ file: String) -> Bool {
    var status = stat()
    return lstat("\(path)/\(file)", &status) == 0
  }
}

extension Result where Failure == any Error {
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}
