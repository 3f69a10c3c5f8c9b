/// How a bundle remembers its shim's endpoint.
extension BundleFiles {
  public static let bootstrapFile = "bootstrap.json"
  public static let addressFile = "address"

  /// Writes `bootstrap.json`, mode 0644.
  ///
  /// - Throws: what `BootstrapParams.validate()` throws, before anything is written; and what
  ///   ``writeAtomically(_:_:mode:)`` throws.
  public func write(_ params: BootstrapParams) throws(ShimProtocolError) {
    try params.validate()
    try writeAtomically(Self.bootstrapFile, params.json, mode: 0o644)
  }

  /// Reads `bootstrap.json`.
  ///
  /// - Throws: `.missingFile`, `.damagedFile` with the fault as its cause, and what
  ///   ``read(_:limit:)`` throws.
  public func readBootstrapParams() throws(ShimProtocolError) -> BootstrapParams {
    let text = try read(Self.bootstrapFile, limit: BootstrapReply.maximumSize)
    do throws(ShimProtocolError) {
      guard !text.isEmpty else {
        throw ShimProtocolError(code: .damagedReply, message: "it is empty")
      }
      let params = try BootstrapParams(json: text)
      try params.validate()
      return params
    } catch {
      throw damaged(Self.bootstrapFile, error)
    }
  }

  /// Reads the `address` file that shims up to containerd 1.7 leave: a bare address, or JSON.
  ///
  /// - Throws: `.missingFile`, `.emptyAddressFile`, `.damagedFile`, and what ``read(_:limit:)`` throws.
  public func readAddressFile() throws(ShimProtocolError) -> BootstrapParams {
    let text = try read(Self.addressFile, limit: BootstrapReply.maximumSize)
    do {
      return try BootstrapReply(text: text).params
    } catch {
      guard error.code != .emptyReply else {
        throw ShimProtocolError(
          code: .emptyAddressFile,
          message: "\(path(of: Self.addressFile)) is empty: the shim ended before it listened, and "
            + "its bundle can only be cleaned up")
      }
      throw damaged(Self.addressFile, error)
    }
  }

  /// Reads `bootstrap.json`, or else migrates the bundle of an older shim: its `address` file becomes
  /// a `bootstrap.json` of version 2 and ttrpc (containerd `restoreBootstrapParams`).
  ///
  /// - Throws: `.missingFile` when neither file is there; what ``readBootstrapParams()``,
  ///   ``readAddressFile()`` and ``write(_:)`` throw. A damaged `bootstrap.json` is never passed over.
  public func restoreBootstrapParams() throws(ShimProtocolError) -> BootstrapParams {
    do {
      return try readBootstrapParams()
    } catch {
      guard error.code == .missingFile else { throw error }
    }
    let params: BootstrapParams
    do {
      params = try readAddressFile()
    } catch {
      guard error.code == .missingFile else { throw error }
      throw ShimProtocolError(
        code: .missingFile,
        message: "\(path) has neither \(Self.bootstrapFile) nor \(Self.addressFile): its shim was "
          + "never started, or it is no bundle")
    }
    try write(params)
    return params
  }

  func damaged(_ name: String, _ fault: ShimProtocolError) -> ShimProtocolError {
    ShimProtocolError(
      code: .damagedFile, message: "\(path(of: name)) is damaged", cause: fault)
  }
}
