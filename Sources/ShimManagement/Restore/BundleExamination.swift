internal import LinuxSystem
internal import ShimProtocol
internal import TransportCore

/// What the files of one bundle say.
struct BundleExamination: Sendable {
  enum Content: Sendable {
    case shim(BootstrapParams, TransportAddress)
    /// Nothing in it says where a shim listens.
    case incomplete
    case damaged(String)
  }

  var bundle: Bundle
  var sandboxID: String?
  /// It is a sandbox, of either kind.
  var isSandbox = false
  /// Its shim serves it by the sandbox API.
  var hasSandboxAPI = false
  var content = Content.incomplete

  init(of bundle: Bundle) {
    self.bundle = bundle
    do {
      hasSandboxAPI = try SandboxFile.read(from: bundle) != nil
      isSandbox = hasSandboxAPI || SandboxMark.isSandbox(bundle)
      sandboxID = try Self.optional { () throws(ShimProtocolError) in
        try bundle.files.readSandboxID()
      }
      let params = try Self.optional { () throws(ShimProtocolError) in
        try bundle.files.restoreBootstrapParams()
      }
      guard let params else { return }
      content = .shim(params, try params.endpoint(origin: .received))
    } catch let error as ShimProtocolError where error.code == .emptyAddressFile {
      // The shim ended before it listened.
      content = .incomplete
    } catch {
      content = .damaged("\(error)")
    }
  }

  private static func optional<Value>(
    _ read: () throws(ShimProtocolError) -> Value
  ) throws(ShimProtocolError) -> Value? {
    do {
      return try read()
    } catch {
      guard error.code == .missingFile else { throw error }
      return nil
    }
  }
}
