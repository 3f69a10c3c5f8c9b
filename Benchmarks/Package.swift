// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who uses Hawsepipe resolves what it is measured against.

let package = Package(
  name: "hawsepipe-benchmarks",
  dependencies: [
    .package(name: "hawsepipe", path: ".."),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
  ],
  targets: [
    .executableTarget(
      name: "transport-benchmarks",
      dependencies: [
        .product(name: "TransportCore", package: "hawsepipe"),
        .product(name: "UnixTransport", package: "hawsepipe"),
        .product(name: "TCPTransport", package: "hawsepipe"),
        .product(name: "TLSTransport", package: "hawsepipe"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        "TLSFloor",
      ],
      path: "Sources/TransportBenchmarks",
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]),
    .target(name: "TLSFloor", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    .executableTarget(
      name: "ttrpc-benchmarks",
      dependencies: [
        .product(name: "TTRPC", package: "hawsepipe"),
        .product(name: "TransportCore", package: "hawsepipe"),
        .product(name: "UnixTransport", package: "hawsepipe"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "Sources/TTRPCBenchmarks",
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]),
    .executableTarget(
      name: "shim-benchmarks",
      dependencies: [
        .product(name: "ContainerdAPI", package: "hawsepipe"),
        .product(name: "RPCCore", package: "hawsepipe"),
        .product(name: "TTRPC", package: "hawsepipe"),
        .product(name: "TransportCore", package: "hawsepipe"),
        .product(name: "UnixTransport", package: "hawsepipe"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "Sources/ShimBenchmarks",
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]),
  ]
)
