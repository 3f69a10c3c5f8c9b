internal import JSON
public import ProcessSupervision
internal import ShimProtocol

/// A task's bundle directory, as far as most shims need it. All of it blocks for as long as the disk
/// takes.
public struct ShimBundle: Sendable, Hashable {
  public var path: String

  public init(_ path: String) { self.path = path }

  /// What `config.json`, the OCI specification, asks for.
  ///
  /// - Throws: `.invalidRequest` when it is missing, too large (8 MiB) or damaged.
  public func spec() throws(ShimKitError) -> BundleSpec {
    let text: [UInt8]
    do {
      text = try BundleFiles(path: path).readConfig()
    } catch {
      throw damaged(error)
    }
    do {
      return BundleSpec(try JSONValue(parsing: text))
    } catch {
      throw damaged(error)
    }
  }

  private func damaged(_ cause: any Error) -> ShimKitError {
    ShimKitError(
      code: .invalidRequest, message: "the OCI specification in \(path) cannot be used",
      cause: cause)
  }

  // MARK: Processes that outlive their shim

  /// Remembers a process in a file of the bundle, so that `delete` finds it, and no other one that
  /// has got its number.
  ///
  /// - Parameter name: of the file.
  public func record(_ process: ProcessIdentity, as name: String = "init") throws(ShimKitError) {
    do {
      try BundleFiles(path: path).writeAtomically(
        "\(name).process", Array("\(process.pid) \(process.startTime)".utf8), mode: 0o600)
    } catch {
      throw ShimKitError(
        code: .system, message: "the bundle \(path) cannot be written", cause: error)
    }
  }

  /// The process that was recorded, whether it still runs or not; nil when there is none.
  ///
  /// - Throws: `.system` when the file cannot be read, or is none that was written here.
  public func recorded(_ name: String = "init") throws(ShimKitError) -> ProcessIdentity? {
    let file = "\(name).process"
    let text: [UInt8]
    do {
      text = try BundleFiles(path: path).read(file, limit: 64)
    } catch {
      guard error.code != .missingFile else { return nil }
      throw ShimKitError(
        code: .system, message: "the bundle \(path) cannot be read", cause: error)
    }
    let words = String(decoding: text, as: UTF8.self).split(separator: " ")
    guard words.count == 2, let pid = Int32(words[0]), pid > 0, let start = UInt64(words[1]) else {
      throw ShimKitError(code: .system, message: "\(path)/\(file) is damaged")
    }
    return ProcessIdentity(pid: pid, startTime: start)
  }
}

/// The part of an OCI specification that a shim without an OCI runtime acts on.
public struct BundleSpec: Sendable, Hashable {
  /// `process.args`: the program and its arguments.
  public var arguments: [String]
  /// `process.env`: `KEY=value` each.
  public var environment: [String]
  /// `process.cwd`, inside the container.
  public var directory: String
  public var terminal: Bool
  public var annotations: [String: String]

  init(_ json: JSONValue) {
    arguments = json["process", "args"]?.strings ?? []
    environment = json["process", "env"]?.strings ?? []
    directory = json["process", "cwd"]?.string ?? "/"
    terminal = json["process", "terminal"]?.bool ?? false
    annotations = (json["annotations"]?.object ?? [:]).compactMapValues(\.string)
  }
}

extension StartRequest {
  /// The first of these annotations that the bundle's specification has: what pods are grouped by,
  /// such as `io.kubernetes.cri.sandbox-id`. Nil for a bundle without a specification.
  public func annotation(_ names: String...) throws(ShimKitError) -> String? {
    do {
      let annotations = try ShimBundle(bundle).spec().annotations
      return names.lazy.compactMap { annotations[$0] }.first { !$0.isEmpty }
    } catch {
      // A sandbox may have none.
      guard (error.cause as? ShimProtocolError)?.code == .missingFile else { throw error }
      return nil
    }
  }
}
