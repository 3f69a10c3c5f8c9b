// swift-tools-version: 6.2
import PackageDescription

// As somebody outside would write it: it sees what the package makes public, and nothing else.

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

func hawsepipe(_ name: String) -> Target.Dependency {
  .product(name: name, package: "hawsepipe")
}

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")

let package = Package(
  name: "hawsepipe-examples",
  dependencies: [
    .package(name: "hawsepipe", path: ".."),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
  ],
  targets: [
    // CustomTransport: a transport written outside the package.
    .target(
      name: "NamedTransport",
      dependencies: [hawsepipe("TransportCore"), hawsepipe("UnixTransport"), nioCore],
      path: "CustomTransport/NamedTransport", swiftSettings: settings),
    .executableTarget(
      name: "custom-transport",
      dependencies: ["NamedTransport", hawsepipe("TransportCore"), nioCore],
      path: "CustomTransport/Echo", swiftSettings: settings),
    .testTarget(
      name: "NamedTransportTests",
      dependencies: [
        "NamedTransport", hawsepipe("TransportConformance"), hawsepipe("TransportCore"),
        hawsepipe("UnixTransport"), nioCore,
      ],
      path: "CustomTransport/Tests", swiftSettings: settings),
    // RemoteTLS: tasks attached to a sandbox on another host.
    .executableTarget(
      name: "remote-tls",
      dependencies: [
        hawsepipe("Hawsepipe"), hawsepipe("ShimManagement"), hawsepipe("ContainerdClient"),
        hawsepipe("TLSTransport"), hawsepipe("TransportCore"), nioCore,
      ],
      path: "RemoteTLS", exclude: ["run"], swiftSettings: settings),
    // PodSandbox: a pod whose namespaces the shim holds, and containers attached to it.
    .executableTarget(
      name: "pod-sandbox",
      dependencies: [
        hawsepipe("Hawsepipe"), hawsepipe("ShimManagement"), hawsepipe("ContainerdClient"),
        hawsepipe("ContainerdAPI"), hawsepipe("ProcessSupervision"), hawsepipe("ShimProtocol"),
        hawsepipe("TTRPC"), hawsepipe("TransportCore"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "PodSandbox", exclude: ["run"], swiftSettings: settings),
    // MinimalShim: a shim of one's own.
    .executableTarget(
      name: "containerd-shim-minimal-v1",
      dependencies: [
        hawsepipe("ShimKit"), hawsepipe("ContainerdAPI"), hawsepipe("ProcessSupervision"),
        hawsepipe("RPCCore"), .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "MinimalShim", swiftSettings: settings),
    // Greeter: a service of one's own, generated while it is built.
    .executableTarget(
      name: "greeter",
      dependencies: [
        hawsepipe("TTRPC"), hawsepipe("RPCCore"), hawsepipe("MemoryTransport"),
        hawsepipe("TransportCore"), .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "Greeter", exclude: ["greeter.proto", "ttrpc-protobuf-config.json"],
      swiftSettings: settings,
      plugins: [.plugin(name: "TTRPCProtobufGenerator", package: "hawsepipe")]),
  ]
)
