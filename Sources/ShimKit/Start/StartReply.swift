internal import ContainerdAPI
internal import ShimProtocol
internal import SwiftProtobuf

/// What `start` prints, in the words of whoever asked.
struct StartReply: Hashable, Sendable {
  var dialect: StartRequest.Dialect
  var params: BootstrapParams

  /// - Parameters:
  ///   - served: the versions of the task service that the shim serves.
  ///   - jsonVersion: the most that a daemon of containerd 1.7 to 2.2 is told: 3 is understood from
  ///     2.0 on, and those before it refuse it.
  /// - Throws: `.startFailed` when there is no version that both know.
  init(
    to dialect: StartRequest.Dialect, address: String, served: Set<Int>, jsonVersion: Int
  ) throws(ShimKitError) {
    let most =
      switch dialect {
      case .plain: 2
      case .json: jsonVersion
      case .protobuf: 3
      }
    guard let version = served.filter({ (2...3).contains($0) && $0 <= most }).max() else {
      let list = served.sorted().map(String.init).joined(separator: " and ")
      throw ShimKitError(
        code: .startFailed,
        message: "the shim at \(address) serves version \(list.isEmpty ? "0" : list) of the task "
          + "service, and the daemon that asks understands \(most) at most",
        hint: "Serve version 2 as well, or use a newer containerd.")
    }
    self.dialect = dialect
    params = BootstrapParams(version: version, address: address, protocolName: "ttrpc")
  }

  /// - Throws: `.startFailed`, which cannot be: the message has text of our own alone.
  func bytes() throws(ShimKitError) -> [UInt8] {
    switch dialect {
    case .plain: return Array(params.address.utf8)
    case .json: return params.json
    case .protobuf:
      var result = Containerd_Runtime_Bootstrap_V1_BootstrapResult()
      result.version = Int32(params.version)
      result.address = params.address
      result.protocol = params.protocolName
      do {
        return try result.serializedBytes()
      } catch {
        throw ShimKitError(
          code: .startFailed, message: "the answer to start cannot be encoded", cause: error)
      }
    }
  }
}
