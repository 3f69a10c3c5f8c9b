// swift-tools-version: 6.2
import PackageDescription

// One line a dependency, one helper a kind of target. Keep Foundation out of everything that a shim
// will link (all but `hawse`): swift-protobuf comes without its Foundation trait for that reason.

// Scripts/test sets HAWSEPIPE_STRICT: there a warning is an error, on a developer's way it is not.
let strict: [SwiftSetting] =
  [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
  ] + (Context.environment["HAWSEPIPE_STRICT"] == nil ? [] : [.treatAllWarnings(as: .error)])

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let protobufPlugin: Target.Dependency =
  .product(name: "SwiftProtobufPluginLibrary", package: "swift-protobuf")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let metricsTestKit: Target.Dependency = .product(name: "MetricsTestKit", package: "swift-metrics")
let tracing: Target.Dependency = .product(name: "Tracing", package: "swift-distributed-tracing")
let inMemoryTracing: Target.Dependency =
  .product(name: "InMemoryTracing", package: "swift-distributed-tracing")
let onlyWithGRPC: TargetDependencyCondition? = .when(traits: ["GRPC"])
let grpcCore: Target.Dependency =
  .product(name: "GRPCCore", package: "grpc-swift-2", condition: onlyWithGRPC)
let grpcHTTP2: Target.Dependency =
  .product(
    name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport",
    condition: onlyWithGRPC)
let argumentParser: Target.Dependency =
  .product(name: "ArgumentParser", package: "swift-argument-parser")

func library(_ name: String, at path: String? = nil, _ dependencies: [Target.Dependency]) -> Target
{
  .target(
    name: name, dependencies: dependencies, path: path ?? "Sources/\(name)",
    swiftSettings: strict)
}

/// A transport: one folder, one target, one line in the umbrella's registry.
func transport(_ folder: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [])
  -> Target
{
  .target(
    name: "\(folder)Transport",
    dependencies: [
      "TransportCore", "LinuxSystem", "CLinux", nioCore, nioPosix, logging,
    ] + dependencies,
    path: "Transports/\(folder)", exclude: exclude, swiftSettings: strict)
}

/// A transport's own tests, which run the conformance suite, too.
func transportTests(_ folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
  tests(
    "\(folder)Transport",
    [
      "TransportConformance", "DispatchSupport", "TransportCore", "LinuxSystem", "CLinux", nioCore,
      nioPosix, nioEmbedded, logging,
    ] + dependencies)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.target(name: name)] + dependencies,
    path: "Tests/\(name)", swiftSettings: strict)
}

let package = Package(
  name: "hawsepipe",
  products: [
    .library(name: "Hawsepipe", targets: ["Hawsepipe"]),
    .library(name: "TransportCore", targets: ["TransportCore"]),
    .library(name: "TransportConformance", targets: ["TransportConformance"]),
    .library(name: "TransportRelay", targets: ["TransportRelay"]),
    .library(name: "UnixTransport", targets: ["UnixTransport"]),
    .library(name: "VsockTransport", targets: ["VsockTransport"]),
    .library(name: "HybridVsockTransport", targets: ["HybridVsockTransport"]),
    .library(name: "TCPTransport", targets: ["TCPTransport"]),
    .library(name: "TLSTransport", targets: ["TLSTransport"]),
    .library(name: "FileDescriptorTransport", targets: ["FileDescriptorTransport"]),
    .library(name: "MemoryTransport", targets: ["MemoryTransport"]),
    .library(name: "ExecTransport", targets: ["ExecTransport"]),
    .library(name: "RPCCore", targets: ["RPCCore"]),
    .library(name: "TTRPC", targets: ["TTRPC"]),
    .library(name: "GRPCTransport", targets: ["GRPCTransport"]),
    .library(name: "ContainerdAPI", targets: ["ContainerdAPI"]),
    .library(name: "ContainerdClient", targets: ["ContainerdClient"]),
    .library(name: "ShimProtocol", targets: ["ShimProtocol"]),
    .library(name: "ShimManagement", targets: ["ShimManagement"]),
    .library(name: "SandboxControl", targets: ["SandboxControl"]),
    .library(name: "ProcessSupervision", targets: ["ProcessSupervision"]),
    .library(name: "ShimKit", targets: ["ShimKit"]),
    .library(name: "ShimTestKit", targets: ["ShimTestKit"]),
    .library(name: "OCIShim", targets: ["OCIShim"]),
    .executable(name: "hawse", targets: ["hawse"]),
    .executable(name: "containerd-shim-hawsepipe-v1", targets: ["containerd-shim-hawsepipe-v1"]),
    .executable(name: "protoc-gen-swift-ttrpc", targets: ["protoc-gen-swift-ttrpc"]),
    .plugin(name: "TTRPCProtobufGenerator", targets: ["TTRPCProtobufGenerator"]),
  ],
  traits: [
    .default(enabledTraits: ["GRPC"]),
    .trait(
      name: "GRPC",
      description:
        "gRPC over every connector, and what is built on it: hawse serve, grpc+ addresses"),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.7.0"),
    // A second TLS to test and measure ours against. Nothing but tests depends on it.
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
    // With the trait GRPC alone; without it they are not even fetched.
    .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.0"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.0"),
  ],
  targets: [
    .target(name: "CLinux", path: "Sources/CLinux"),
    library("LinuxSystem", ["CLinux"]),
    library("ProcessSupervision", ["LinuxSystem", "CLinux"]),
    library("TransportCore", ["LinuxSystem", nioCore, nioPosix, logging, coreMetrics, tracing]),
    transport("Unix"),
    transport("Vsock"),
    transport("HybridVsock", ["UnixTransport"]),
    transport("TCP"),
    .systemLibrary(
      name: "COpenSSL", path: "Transports/TLS/COpenSSL", pkgConfig: "openssl",
      providers: [.apt(["libssl-dev"])]),
    transport("TLS", ["COpenSSL", nioTLS], exclude: ["COpenSSL"]),
    transport("FileDescriptor"),
    transport("Memory"),
    transport("Exec", ["ProcessSupervision"]),
    library(
      "TransportRelay", ["TransportCore", "LinuxSystem", "CLinux", nioCore, nioPosix, logging]),
    // What several test targets need.
    library("DispatchSupport", at: "Tests/DispatchSupport", []),
    library("RPCLoopback", at: "Tests/RPCLoopback", ["RPCCore", nioCore]),
    library(
      "TransportConformance", at: "Tests/TransportConformance",
      ["TransportCore", "LinuxSystem", nioCore, nioPosix, logging]),
    library("RPCCore", ["TransportCore", nioCore, protobuf, logging, coreMetrics, tracing]),
    library("TTRPC", ["RPCCore", "TransportCore", nioCore, nioPosix, protobuf, logging]),
    library(
      "GRPCTransport",
      [
        "RPCCore", "TransportCore", nioCore, nioPosix, protobuf, logging, grpcCore, grpcHTTP2,
      ]),
    .target(
      name: "ContainerdAPI", dependencies: ["RPCCore", protobuf], path: "Sources/ContainerdAPI",
      exclude: ["Protos"], swiftSettings: strict),
    library(
      "ContainerdClient",
      [
        "ContainerdAPI", "RPCCore", "TransportCore", "LinuxSystem", "CLinux", nioCore, nioPosix,
        protobuf,
      ]),
    library("JSON", []),
    library("TOML", []),
    library("ShimProtocol", ["LinuxSystem", "ContainerdAPI", "TransportCore", protobuf]),
    library(
      "ShimManagement",
      [
        "ContainerdClient", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "TTRPC",
        "RPCCore", "TransportCore", "UnixTransport", "JSON", "LinuxSystem", "CLinux", nioCore,
        nioPosix, protobuf, logging,
      ]),
    library(
      "SandboxControl",
      [
        "ShimManagement", "ContainerdClient", "ContainerdAPI", "ShimProtocol", "GRPCTransport",
        "RPCCore", "TransportCore", "JSON", "TOML", "LinuxSystem", "CLinux", nioCore, nioPosix,
        protobuf, logging,
      ]),
    library(
      "ShimKit",
      [
        "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "TTRPC", "RPCCore", "TransportCore",
        "UnixTransport", "VsockTransport", "FileDescriptorTransport", "JSON", "LinuxSystem",
        "CLinux", nioCore, nioPosix, protobuf, logging,
      ]),
    library(
      "ShimTestKit",
      [
        "ShimKit", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "TTRPC", "RPCCore",
        "TransportCore", "UnixTransport", "MemoryTransport", "LinuxSystem", nioCore, protobuf,
        logging,
      ]),
    library(
      "OCIShim",
      [
        "ShimKit", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "RPCCore", "JSON", "TOML",
        "TransportCore", "LinuxSystem", "CLinux", nioCore, nioPosix, protobuf, logging,
      ]),
    library(
      "Hawsepipe",
      [
        "TransportCore", "TTRPC", "UnixTransport", "VsockTransport", "HybridVsockTransport",
        "TCPTransport", "TLSTransport", "FileDescriptorTransport", "MemoryTransport",
        "ExecTransport",
      ]),
    .executableTarget(
      name: "hawse",
      dependencies: [
        "ContainerdAPI", "ContainerdClient", "FileDescriptorTransport", "GRPCTransport",
        "Hawsepipe",
        "JSON", "LinuxSystem",
        "RPCCore", "SandboxControl", "ShimManagement", "ShimProtocol", "TLSTransport", "TTRPC",
        "TransportCore",
        "TransportRelay", argumentParser,
        logging, nioCore, nioPosix, protobuf,
      ],
      path: "Sources/hawse", swiftSettings: strict),
    .executableTarget(
      name: "containerd-shim-hawsepipe-v1", dependencies: ["OCIShim", "ShimKit"],
      path: "Sources/containerd-shim-hawsepipe-v1", swiftSettings: strict),
    .executableTarget(
      name: "protoc-gen-swift-ttrpc", dependencies: [protobuf, protobufPlugin],
      path: "Sources/protoc-gen-swift-ttrpc", swiftSettings: strict),
    .plugin(
      name: "TTRPCProtobufGenerator", capability: .buildTool(),
      dependencies: [
        "protoc-gen-swift-ttrpc", .product(name: "protoc-gen-swift", package: "swift-protobuf"),
      ],
      path: "Sources/TTRPCProtobufGenerator"),

    tests("LinuxSystem", []),
    tests("ProcessSupervision", ["LinuxSystem", "CLinux"]),
    tests(
      "TransportCore",
      [
        nioCore, nioEmbedded, nioPosix, logging, coreMetrics, metricsTestKit, tracing,
        inMemoryTracing,
      ]),
    transportTests("Unix"),
    transportTests("Vsock"),
    transportTests("HybridVsock", ["UnixTransport"]),
    transportTests("TCP"),
    transportTests("TLS", ["TCPTransport", "UnixTransport", "HybridVsockTransport", nioTLS]),
    transportTests("FileDescriptor", ["UnixTransport", "TCPTransport"]),
    transportTests("Memory"),
    transportTests("Exec", ["ProcessSupervision", "UnixTransport"]),
    .testTarget(
      name: "TransportConformanceTests",
      dependencies: [
        "TransportConformance", "DispatchSupport", "TransportCore", "MemoryTransport",
        "UnixTransport", nioCore,
        nioPosix,
      ],
      path: "Tests/TransportConformanceTests", swiftSettings: strict),
    tests(
      "TransportRelay",
      ["TransportCore", "UnixTransport", "TCPTransport", "LinuxSystem", nioCore, nioPosix, logging]),
    tests(
      "RPCCore",
      [
        "RPCLoopback", "TransportCore", nioCore, protobuf, logging, coreMetrics, metricsTestKit,
        tracing, inMemoryTracing,
      ]),
    tests(
      "TTRPC",
      [
        "RPCCore", "TransportCore", "UnixTransport", nioCore, nioPosix, nioEmbedded, protobuf,
        logging,
      ]),
    tests(
      "GRPCTransport",
      [
        "RPCCore", "TransportCore", "UnixTransport", "MemoryTransport", "TCPTransport",
        "TLSTransport", "HybridVsockTransport", nioCore, nioPosix, nioEmbedded, protobuf, grpcCore,
        grpcHTTP2,
      ]),
    .testTarget(
      name: "ProtocGenSwiftTTRPCTests",
      dependencies: [
        "protoc-gen-swift-ttrpc", "RPCCore", "RPCLoopback", "TransportCore", "ProcessSupervision",
        "LinuxSystem", nioCore, protobuf, protobufPlugin,
      ],
      path: "Tests/ProtocGenSwiftTTRPC", exclude: ["Protos", "golden.txt"],
      swiftSettings: strict),
    tests("JSON", []),
    tests("ContainerdAPI", ["RPCCore", protobuf]),
    tests(
      "ContainerdClient",
      ["ContainerdAPI", "RPCCore", "TransportCore", "LinuxSystem", "CLinux", nioCore, protobuf]),
    tests("ShimProtocol", ["ContainerdAPI", "LinuxSystem", "TransportCore", protobuf]),
    tests(
      "ShimManagement",
      [
        "ShimTestKit",
        "GRPCTransport", "ContainerdClient", "ContainerdAPI", "ShimProtocol", "ProcessSupervision",
        "TTRPC",
        "RPCCore", "TransportCore", "UnixTransport", "JSON", "LinuxSystem", "CLinux", nioCore,
        nioPosix, protobuf,
      ]),
    tests(
      "SandboxControl",
      [
        "ShimTestKit", "ShimManagement", "ContainerdClient", "ContainerdAPI", "ShimProtocol",
        "GRPCTransport", "RPCCore", "RPCLoopback", "TTRPC", "TransportCore", "UnixTransport",
        "JSON",
        "TOML", "LinuxSystem", nioCore, nioPosix, protobuf, logging,
      ]),
    // What the tests run as a shim, and what examples/ builds once more as an outsider would.
    .executableTarget(
      name: "containerd-shim-kittest-v1",
      dependencies: [
        "ShimKit", "ContainerdAPI", "ProcessSupervision", "RPCCore", "TransportCore", protobuf,
      ],
      path: "Tests/ShimKit/TestShim", swiftSettings: strict),
    .executableTarget(
      name: "containerd-shim-minimal-v1",
      dependencies: ["ShimKit", "ContainerdAPI", "ProcessSupervision", "RPCCore", protobuf],
      path: "examples/MinimalShim", swiftSettings: strict),
    .testTarget(
      name: "ShimKitTests",
      dependencies: [
        "ShimKit", "ShimTestKit", "containerd-shim-kittest-v1", "containerd-shim-minimal-v1",
        "ShimManagement",
        "ContainerdClient", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "TTRPC",
        "RPCCore", "TransportCore",
        "UnixTransport", "JSON", "LinuxSystem", "CLinux", nioCore, nioPosix, protobuf, logging,
      ],
      path: "Tests/ShimKit", exclude: ["TestShim"], swiftSettings: strict),
    tests(
      "ShimTestKit",
      [
        "containerd-shim-kittest-v1", "OCIShim", "ShimKit", "ContainerdAPI", "ShimProtocol",
        "ProcessSupervision", "TTRPC", "RPCCore", "TransportCore", protobuf, logging,
      ]),
    tests(
      "OCIShim",
      [
        "ShimKit", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "RPCCore", "JSON", "TOML",
        "LinuxSystem", "CLinux", nioCore, nioPosix, protobuf, logging,
      ]),
    // Runs inside a virtual machine, with the Swift runtime linked in: see Tests/Interop/Peers/vm.
    .executableTarget(
      name: "vsock-guest-peer",
      dependencies: [
        "TransportConformance", "VsockTransport", "TransportCore", "ProcessSupervision", "CLinux",
        nioCore,
      ],
      path: "Tests/Interop/Guest", swiftSettings: strict),
    .testTarget(
      name: "InteropTests",
      dependencies: [
        "hawse", "containerd-shim-hawsepipe-v1", "GRPCTransport", "SandboxControl",
        "ShimManagement", "ContainerdClient",
        "ContainerdAPI", "ShimProtocol", "ShimTestKit", "JSON",
        "ProcessSupervision", "LinuxSystem", "TTRPC", "RPCCore", "TransportCore", "UnixTransport",
        "Hawsepipe", "TransportConformance", "TLSTransport", "TCPTransport",
        "HybridVsockTransport", "VsockTransport", "ExecTransport", nioCore, nioPosix, nioTLS,
        nioSSL, protobuf,
      ],
      path: "Tests/Interop", exclude: ["Guest", "Peers"], swiftSettings: strict),
  ]
)
