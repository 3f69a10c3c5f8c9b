internal import ContainerdAPI
internal import FoundationEssentials  // For Data, which is what SwiftProtobuf keeps bytes in.
public import SwiftProtobuf
internal import TOML

/// How the OCI runtime is to be used: what a client or a daemon's configuration says.
public struct RuntimeOptions: Hashable, Sendable {
  /// The runtime's program: a path, or a name that is looked for in `PATH`.
  public var binaryName = "runc"
  /// The directory under which the runtime keeps its state, one directory a namespace.
  public var root = "/run/containerd/runc"
  public var systemdCgroup = false
  public var noPivotRoot = false
  public var noNewKeyring = false
  /// The cgroup that the shim itself joins; empty for that of its daemon.
  public var shimCgroup = ""
  /// The owner of the pipes that a container's processes write to.
  public var ioUid: UInt32 = 0
  public var ioGid: UInt32 = 0
  public var criuImagePath = ""
  public var criuWorkPath = ""
  /// Put before the runtime's command, behind the arguments that every call has.
  public var extraArguments: [String] = []
  /// How long one call of the runtime may take. Then it is killed.
  public var commandTimeout: Duration = .seconds(60)

  public init() {}

  /// Reads the options of a `Create` request: `containerd.runc.v1.Options`, or
  /// `runtimeoptions.v1.Options` with TOML, which is what CRI gives to all runtimes but runc's own.
  /// No type at all gives the defaults.
  ///
  /// - Throws: `invalidOptions` for another type, and for what cannot be read. The message says where.
  public init(_ packed: Google_Protobuf_Any?) throws(OCIShimError) {
    self.init()
    guard let packed, !packed.typeURL.isEmpty else { return }
    do {
      if TypeURL.names(packed.typeURL, Containerd_Runc_V1_Options.self) {
        self = RuntimeOptions(try TypeURL.unpack(packed, as: Containerd_Runc_V1_Options.self))
        return
      }
      if TypeURL.names(packed.typeURL, Runtimeoptions_V1_Options.self) {
        let options = try TypeURL.unpack(packed, as: Runtimeoptions_V1_Options.self)
        self = try RuntimeOptions(toml: [UInt8](options.configBody))
        return
      }
    } catch let error as OCIShimError {
      throw error
    } catch {
      throw OCIShimError(
        code: .invalidOptions, message: "the runtime's options cannot be read", cause: error)
    }
    throw OCIShimError(
      code: .invalidOptions,
      message: "the runtime's options are of the type \"\(packed.typeURL.prefix(100))\"",
      hint: "Give containerd.runc.v1.Options, or runtimeoptions.v1.Options with TOML.")
  }

  init(_ options: Containerd_Runc_V1_Options) {
    if !options.binaryName.isEmpty { binaryName = options.binaryName }
    if !options.root.isEmpty { root = options.root }
    systemdCgroup = options.systemdCgroup
    noPivotRoot = options.noPivotRoot
    noNewKeyring = options.noNewKeyring
    shimCgroup = options.shimCgroup
    ioUid = options.ioUid
    ioGid = options.ioGid
    criuImagePath = options.criuImagePath
    criuWorkPath = options.criuWorkPath
  }

  /// Reads the keys of containerd's `options` table. Keys that mean nothing here are left alone:
  /// they may be another version's.
  ///
  /// - Throws: `invalidOptions`, with the line, for what is no TOML and for a value of another type.
  init(toml bytes: [UInt8]) throws(OCIShimError) {
    let table: [String: TOMLTable.Value]
    do throws(TOMLTable.Fault) {
      table = try TOMLTable(parsing: bytes).values
    } catch {
      throw OCIShimError(
        code: .invalidOptions, message: "the runtime's options (TOML) cannot be read: \(error)")
    }
    func take<T>(_ key: String, _ kind: String, _ read: (TOMLTable.Value) -> T?)
      throws(OCIShimError) -> T?
    {
      guard let value = table[key] else { return nil }
      if let taken = read(value) { return taken }
      throw OCIShimError(
        code: .invalidOptions, message: "the runtime's option \(key) must be \(kind)")
    }
    func string(_ key: String) throws(OCIShimError) -> String? {
      let text = try take(key, "a string", \.string)
      return text?.isEmpty == true ? nil : text
    }
    func bool(_ key: String) throws(OCIShimError) -> Bool? { try take(key, "a boolean", \.bool) }
    func id(_ key: String) throws(OCIShimError) -> UInt32? {
      try take(key, "a number from 0 to 4294967295") { $0.integer.flatMap(UInt32.init(exactly:)) }
    }
    if let value = try string("BinaryName") { binaryName = value }
    if let value = try string("Root") { root = value }
    if let value = try string("ShimCgroup") { shimCgroup = value }
    if let value = try string("CriuImagePath") { criuImagePath = value }
    if let value = try string("CriuWorkPath") { criuWorkPath = value }
    if let value = try bool("SystemdCgroup") { systemdCgroup = value }
    if let value = try bool("NoPivotRoot") { noPivotRoot = value }
    if let value = try bool("NoNewKeyring") { noNewKeyring = value }
    if let value = try id("IoUid") { ioUid = value }
    if let value = try id("IoGid") { ioGid = value }
    if let value = try take("ExtraArguments", "an array of strings", \.strings) {
      extraArguments = value
    }
    let seconds = try take("CommandTimeout", "a number of seconds from 1 to 3600") { value in
      value.integer.flatMap { (1...3600).contains($0) ? $0 : nil }
    }
    if let seconds { commandTimeout = .seconds(seconds) }
  }
}
