internal import ContainerdClient
internal import TransportCore

extension SandboxPlatform {
  /// What this program was built for, in the words of OCI images.
  static var ofThisHost: SandboxPlatform {
    #if arch(arm64)
      SandboxPlatform(os: "linux", architecture: "arm64", variant: "v8")
    #elseif arch(x86_64)
      SandboxPlatform(os: "linux", architecture: "amd64")
    #else
      SandboxPlatform(os: "linux", architecture: "unknown")
    #endif
  }
}

extension TransportAddress {
  /// Whether the peer's process ids are this host's.
  var isOfThisHost: Bool {
    switch place {
    case .unix, .abstract, .memory: layers.isEmpty
    default: false
    }
  }
}
