import ContainerdAPI
import ShimKit
import SwiftProtobuf
import Testing

@testable import OCIShim

@Suite("What -info tells of the shim")
struct ShimInfoTests {
  private func options(_ runtime: FakeRuntime) throws -> Google_Protobuf_Any {
    try TypeURL.pack(Containerd_Runc_V1_Options.with { $0.binaryName = runtime.options.binaryName })
  }

  @Test("the runtime's features, as it prints them, and the options")
  func features() async throws {
    let runtime = try FakeRuntime(#"echo '{"ociVersionMin":"1.0.0"}'"#)
    let options = try options(runtime)
    let info = try await HawsepipeShim().info(options)
    #expect(info.options == options)
    #expect(
      info.features?.typeURL
        == "types.containerd.io/opencontainers/runtime-spec/1/features/Features")
    #expect(info.features.map { Array($0.value) } == Array("{\"ociVersionMin\":\"1.0.0\"}\n".utf8))
    #expect(runtime.calls == ["features"])
  }

  @Test("a runtime that has no such command has no features")
  func none() async throws {
    let runtime = try FakeRuntime("exit 1")
    let info = try await HawsepipeShim().info(try options(runtime))
    #expect(info.features == nil && runtime.calls == ["features"])
  }

  @Test("a runtime that is not there is an error")
  func missing() async throws {
    let options = try TypeURL.pack(Containerd_Runc_V1_Options.with { $0.binaryName = "/none" })
    let error = await #expect(throws: OCIShimError.self) {
      try await HawsepipeShim().info(options)
    }
    #expect(error?.code == .runtimeNotFound)
  }
}
