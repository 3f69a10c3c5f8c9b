internal import Logging
internal import NIOPosix
internal import Synchronization

/// A configuration with its certificates and key, kept up to date: files that change are read again
/// for new handshakes, and when what is there does not work, the last good ones stay in use.
///
/// Files are looked at before a handshake or on a listener's clock, every ``lookInterval`` at most,
/// and by ``reload()`` at once. There is no thread and no timer of this object's own.
public final class TLSCredentials: Sendable {
  /// How long a change may go unseen.
  public static let lookInterval = Duration.seconds(2)

  let configuration: TLSConfiguration
  let role: TLSRole
  private let logger: Logger
  private let state: Mutex<State>

  private struct State {
    var context: TLSContext
    var material: LoadedMaterial
    /// What was there at the last reading, good or bad.
    var seen: [String: FileStamp]
    var looked: ContinuousClock.Instant
    var problem: TLSError?
    var reloads = 0
  }

  private struct Loaded: Sendable {
    var context: TLSContext
    var material: LoadedMaterial
  }

  init(
    _ configuration: TLSConfiguration, role: TLSRole, logger: Logger? = nil
  ) async throws(TLSError) {
    self.configuration = configuration
    self.role = role
    self.logger = logger ?? Logger(label: "hawsepipe.tls")
    let loaded = try await Self.load(configuration, role)
    state = Mutex(
      State(
        context: loaded.context, material: loaded.material, seen: loaded.material.stamps,
        looked: .now))
    warn(loaded.material)
    if configuration.verification == .none, role == .client {
      self.logger.warning(
        "TLS without verification: anybody may be at the other end, and read and change everything")
    }
  }

  /// What new handshakes use.
  var context: TLSContext { state.withLock { $0.context } }

  /// Why the newest files are not in use; `nil` when they are.
  public var problem: TLSError? { state.withLock { $0.problem } }

  /// How often new files were taken into use.
  public var reloads: Int { state.withLock { $0.reloads } }

  /// When this side's own certificate, and each CA that peers are verified by, runs out.
  public var expirations: [TLSExpiration] {
    let material = state.withLock { $0.material }
    return TLSExpiration.all(of: material)
  }

  /// Reads all files again.
  ///
  /// - Throws: ``TLSError`` when what is there does not work. The last good credentials stay in use.
  public func reload() async throws(TLSError) {
    do throws(TLSError) {
      adopt(try await Self.load(configuration, role))
    } catch {
      let seen = Self.stamps(of: configuration)
      state.withLock { state in
        state.problem = error
        state.seen = seen
      }
      logger.error(
        "Keeping the TLS credentials of before: the new ones do not work",
        metadata: ["reason": "\(error)"])
      throw error
    }
  }

  /// Takes new files into use, if it is time to look and there are any.
  func refresh() async {
    let now = ContinuousClock.now
    let seen = state.withLock { state -> [String: FileStamp]? in
      guard now - state.looked >= Self.lookInterval else { return nil }
      state.looked = now
      return state.seen
    }
    guard let seen, !configuration.files.isEmpty else { return }
    let configuration = configuration
    let stamps = await Self.onThread { Self.stamps(of: configuration) }
    guard stamps != seen else { return }
    // It has logged and kept why it failed, and a connection goes on with what works.
    try? await reload()
  }

  private func adopt(_ loaded: Loaded) {
    state.withLock { state in
      state.context = loaded.context
      state.material = loaded.material
      state.seen = loaded.material.stamps
      state.problem = nil
      state.reloads += 1
    }
    logger.info("New TLS credentials are in use")
    warn(loaded.material)
  }

  private func warn(_ material: LoadedMaterial) {
    for warning in material.warnings + TLSExpiration.warnings(of: material) {
      logger.warning("\(warning)")
    }
  }

  // MARK: Reading

  private static func load(
    _ configuration: TLSConfiguration, _ role: TLSRole
  ) async throws(TLSError) -> Loaded {
    try await onThread { () -> Result<Loaded, TLSError> in
      do throws(TLSError) {
        let material = try LoadedMaterial(configuration, role: role)
        let context = try TLSContext(configuration, role: role, material: material)
        return .success(Loaded(context: context, material: material))
      } catch {
        return .failure(error)
      }
    }.get()
  }

  /// Off the cooperative pool: a disk may take its time.
  static func onThread<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    do {
      return try await NIOThreadPool.singleton.runIfActive(body)
    } catch {
      // Cancelled before it began, or the pool is shut down, which the process's own never is. What
      // was asked for is short.
      return body()
    }
  }

  private static func stamps(of configuration: TLSConfiguration) -> [String: FileStamp] {
    var stamps: [String: FileStamp] = [:]
    for path in configuration.files { stamps[path] = FileStamp(path: path) }
    return stamps
  }
}

extension TLSConfiguration {
  /// The files that its material is in.
  var files: [String] {
    [authority, certificate, key].compactMap {
      guard case .file(let path)? = $0 else { return nil }
      return path
    }
  }
}
