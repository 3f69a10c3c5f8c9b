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
  ]
)
