import Glibc
import ProcessSupervision
import Testing

/// The containerd of a Debian release.
enum ContainerdRelease: String, CaseIterable, Sendable, CustomTestStringConvertible {
  /// 1.6, as installed by Scripts/setup.
  case bookworm
  /// 2.1 or newer, unpacked by Peers/containerd/build.
  case forky

  var testDescription: String { rawValue }

  struct Failure: Error, CustomStringConvertible { var description: String }

  /// The daemon and its client.
  func programs() async throws -> (containerd: String, ctr: String) {
    let folder = self == .bookworm ? "/usr/bin" : try await Self.folder()
    let programs = ("\(folder)/containerd", "\(folder)/ctr")
    for path in [programs.0, programs.1] where access(path, X_OK) != 0 {
      throw RealPeers.Missing(path: path)
    }
    return programs
  }

  /// Our client of forky's CRI.
  static func cri() async throws -> String { "\(try await folder())/cri" }

  private static let made = Task { try await make() }

  /// What Peers/containerd/build makes. The first caller waits for it: for a download of some 130 MB and
  /// a minute or two if nothing is cached.
  static func folder() async throws -> String { try await made.value }

  private static func make() async throws -> String {
    let began = ContinuousClock.now
    let sources = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    // apt is wherever the user has it.
    let environment = ["PATH", "HOME", "TMPDIR"].compactMap { (name: String) -> String? in
      getenv(name).map { "\(name)=\(String(cString: $0))" }
    }
    let script = "\(sources)/Peers/containerd/build"
    let built = try await Command(script, environment: environment, grouping: .newGroup)
      .run(timeout: .seconds(1200))
    guard built.status.isSuccess else {
      throw Failure(
        description: """
          Tests/Interop/Peers/containerd/build ended with \(built.status); the tests with forky's \
          containerd need what it makes. Run it by itself until it works, and these tests again. It said:
          \(String(decoding: built.standardError.suffix(4000), as: UTF8.self))
          """)
    }
    print("forky's containerd: there after \(ContinuousClock.now - began)")
    return String(decoding: built.standardOutput.dropLast(), as: UTF8.self)
  }

  /// The daemon's configuration.
  ///
  /// - Parameter cri: more lines, in which `@` is the directory; nil: nothing of Kubernetes' interface.
  func configuration(directory: String, socket: String, cri: String?) -> String {
    let disabled =
      switch (self, cri) {
      case (.bookworm, _): ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
      case (.forky, nil):
        [
          "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",
          "io.containerd.cri.v1.runtime",
          "io.containerd.podsandbox.controller.v1.podsandbox", "io.containerd.nri.v1.nri",
          "io.containerd.internal.v1.opt",
        ]
      case (.forky, _?): ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt"]
      }
    return """
      version = \(self == .bookworm ? 2 : 3)
      root = "\(directory)/root"
      state = "\(directory)/state"
      disabled_plugins = \(disabled)
      [grpc]
      address = "\(socket)"
      [ttrpc]
      address = "\(socket).ttrpc"

      """
        + (cri ?? "").split(separator: "@", omittingEmptySubsequences: false).joined(
          separator: directory)
  }
}

/// Has forky's containerd unpacked before a suite's time limits count.
struct WithContainerdReleases: SuiteTrait, TestScoping {
  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    _ = try await ContainerdRelease.folder()
    try await function()
  }
}

extension Trait where Self == WithContainerdReleases {
  static var containerdReleases: WithContainerdReleases { WithContainerdReleases() }
}
