internal import ContainerdClient
internal import FoundationEssentials
internal import LinuxSystem
internal import ShimProtocol
internal import SwiftProtobuf

/// What marks a bundle as that of a sandbox which its shim serves by the sandbox API, and remembers its
/// end once that was reported: containerd's layout has no file for either (its own such bundles lie in
/// a directory of another plugin).
struct SandboxFile: Hashable, Codable {
  static let name = "hawsepipe-sandbox.json"
  /// Of the file's format.
  static let version = 1

  struct Exit: Hashable, Codable {
    var status: UInt32
    /// Seconds since 1970.
    var time: Int64?
  }

  var version = Self.version
  /// Of an end that was reported.
  var exit: Exit?

  func write(to bundle: Bundle) throws(ShimManagementError) {
    do {
      let bytes = Array(try JSONEncoder().encode(self))
      try bundle.files.writeAtomically(Self.name, bytes, mode: 0o600)
    } catch {
      throw ShimManagementError(
        code: .damagedState, message: "cannot write \(Self.name) of \(bundle.id)", cause: error)
    }
  }

  /// `nil`: the bundle is that of a task, or of a sandbox that is a shim with a first task.
  ///
  /// - Throws: `damagedState` for a file that is there and cannot be read, or that a later program
  ///   wrote in a way of its own.
  static func read(from bundle: Bundle) throws(ShimManagementError) -> SandboxFile? {
    let bytes: [UInt8]
    do {
      bytes = try bundle.files.read(name, limit: 4096)
    } catch {
      if error.code == .missingFile { return nil }
      throw damaged(bundle, error)
    }
    let file: SandboxFile
    do {
      file = try JSONDecoder().decode(SandboxFile.self, from: Data(bytes))
    } catch {
      throw damaged(bundle, error)
    }
    guard file.version == Self.version else {
      throw damaged(
        bundle,
        ShimProtocolError(
          code: .damagedFile, message: "its format is version \(file.version), and 1 is known here")
      )
    }
    return file
  }

  /// Whether the bundle is marked, however the mark may look.
  static func isThere(in bundle: Bundle) -> Bool {
    // What cannot be looked at is not there to go by.
    (try? FileStatus.ofItself(bundle.files.path(of: name))) != nil
  }

  private static func damaged(_ bundle: Bundle, _ cause: any Error) -> ShimManagementError {
    ShimManagementError(
      code: .damagedState, message: "\(bundle.files.path(of: name)) cannot be read",
      hint: "Run hawse sandbox rm --force to remove what is there.", cause: cause)
  }
}

extension SandboxFile.Exit {
  init(_ exit: SandboxExit) {
    self.init(status: exit.status, time: exit.exitedAt?.seconds)
  }
}
