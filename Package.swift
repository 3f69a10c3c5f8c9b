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
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let argumentParser: Target.Dependency =
  .product(name: "ArgumentParser", package: "swift-argument-parser")

func library(_ name: String, at path: String? = nil, _ dependencies: [Target.Dependency]) -> Target
{
  .target(
    name: name, dependencies: dependencies, path: path ?? "Sources/\(name)",
    swiftSettings: strict)
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
    .library(name: "UnixTransport", targets: ["UnixTransport"]),
    .library(name: "TTRPC", targets: ["TTRPC"]),
    .library(name: "ContainerdAPI", targets: ["ContainerdAPI"]),
    .library(name: "ContainerdClient", targets: ["ContainerdClient"]),
    .library(name: "ShimManagement", targets: ["ShimManagement"]),
    .executable(name: "hawse", targets: ["hawse"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
  ],
  targets: [
    .target(name: "CLinux", path: "Sources/CLinux"),
    library("LinuxSystem", ["CLinux"]),
    library("ProcessSupervision", ["LinuxSystem", "CLinux"]),
    library("TransportCore", ["LinuxSystem", nioCore, nioPosix, logging]),
    library(
      "UnixTransport", at: "Transports/Unix",
      ["TransportCore", "LinuxSystem", "CLinux", nioCore, nioPosix, logging]),
    library("RPCCore", [protobuf]),
    library("TTRPC", ["RPCCore", "TransportCore", nioCore, nioPosix, protobuf, logging]),
    .target(
      name: "ContainerdAPI", dependencies: [protobuf], path: "Sources/ContainerdAPI",
      exclude: ["Protos"], swiftSettings: strict),
    library(
      "ContainerdClient",
      [
        "ContainerdAPI", "RPCCore", "LinuxSystem", "CLinux", nioCore, nioPosix, protobuf,
      ]),
    library("ShimProtocol", ["LinuxSystem", "ContainerdAPI", "TransportCore", protobuf]),
    library(
      "ShimManagement",
      [
        "ContainerdClient", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "TTRPC",
        "RPCCore", "TransportCore", "UnixTransport", "LinuxSystem", "CLinux", nioCore, nioPosix,
        protobuf, logging,
      ]),
    library("Hawsepipe", ["TransportCore", "TTRPC", "UnixTransport"]),
    .executableTarget(
      name: "hawse",
      dependencies: [
        "ContainerdAPI", "ContainerdClient", "Hawsepipe", "RPCCore", "ShimManagement",
        "ShimProtocol", "TTRPC", "TransportCore", argumentParser, logging, protobuf,
      ],
      path: "Sources/hawse", swiftSettings: strict),

    tests("LinuxSystem", []),
    tests("ProcessSupervision", ["LinuxSystem", "CLinux"]),
    tests("TransportCore", [nioCore, nioEmbedded]),
    tests(
      "UnixTransport", ["TransportCore", "LinuxSystem", "CLinux", nioCore, nioPosix, logging]),
    tests("RPCCore", [protobuf]),
    tests(
      "TTRPC",
      ["RPCCore", "TransportCore", "UnixTransport", nioCore, nioPosix, nioEmbedded, protobuf]),
    tests("ContainerdAPI", [protobuf]),
    tests("ContainerdClient", ["ContainerdAPI", "RPCCore", "LinuxSystem", "CLinux", protobuf]),
    tests("ShimProtocol", ["ContainerdAPI", "LinuxSystem", "TransportCore", protobuf]),
    tests(
      "ShimManagement",
      [
        "ContainerdClient", "ContainerdAPI", "ShimProtocol", "ProcessSupervision", "TTRPC",
        "RPCCore", "TransportCore", "UnixTransport", "LinuxSystem", "CLinux", nioCore, nioPosix,
        protobuf,
      ]),
    .testTarget(
      name: "InteropTests",
      dependencies: [
        "hawse", "ShimManagement", "ContainerdClient", "ContainerdAPI", "ShimProtocol",
        "ProcessSupervision", "LinuxSystem", "TTRPC", "RPCCore", "TransportCore", "UnixTransport",
        "Hawsepipe",
        protobuf,
      ],
      path: "Tests/Interop", exclude: ["Peers"], swiftSettings: strict),
  ]
)
