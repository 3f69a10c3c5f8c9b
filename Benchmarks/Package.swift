// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that nobody who uses Hawsepipe resolves what it is measured against.

let package = Package(
  name: "hawsepipe-benchmarks",
  dependencies: [
    .package(name: "hawsepipe", path: ".."),
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.0"),
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
  ]
)
