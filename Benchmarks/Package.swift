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
    .package(url: "https://github.com/grpc/grpc-swift-2.git", from: "2.4.0"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", from: "2.9.0"),
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
    .target(name: "Measuring", swiftSettings: [.swiftLanguageMode(.v6)]),
    .target(name: "TLSFloor", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    .executableTarget(
      name: "ttrpc-benchmarks",
      dependencies: [
        "Measuring",
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
    .executableTarget(
      name: "grpc-benchmarks",
      dependencies: [
        "Measuring",
        .product(name: "GRPCTransport", package: "hawsepipe"),
        .product(name: "ProcessSupervision", package: "hawsepipe"),
        .product(name: "TTRPC", package: "hawsepipe"),
        .product(name: "RPCCore", package: "hawsepipe"),
        .product(name: "TransportCore", package: "hawsepipe"),
        .product(name: "UnixTransport", package: "hawsepipe"),
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "Sources/GRPCBenchmarks",
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]),
    .executableTarget(
      name: "attach-benchmarks",
      dependencies: [
        "Measuring",
        .product(name: "ShimManagement", package: "hawsepipe"),
        .product(name: "ContainerdClient", package: "hawsepipe"),
        .product(name: "ContainerdAPI", package: "hawsepipe"),
        .product(name: "GRPCTransport", package: "hawsepipe"),
        .product(name: "RPCCore", package: "hawsepipe"),
        .product(name: "TransportCore", package: "hawsepipe"),
        .product(name: "UnixTransport", package: "hawsepipe"),
        .product(name: "SwiftProtobuf", package: "swift-protobuf"),
      ],
      path: "Sources/AttachBenchmarks",
      swiftSettings: [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]),
  ]
)
