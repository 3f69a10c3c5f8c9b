public import ContainerdClient

/// What ``ShimManager/restore()`` found, and did, bundle by bundle.
public struct RestoreReport: Sendable {
  public enum Outcome: Sendable, Hashable {
    /// Its shim answers; the task or sandbox was taken up.
    case restored
    /// Nobody listens at its shim's address any more: it was cleaned up, and its end reported.
    case cleanedUp
    /// Its shim answers, and has no process of it: it was deleted there, the shim was told to shut down,
    /// and the bundle is gone.
    case reaped
    /// Whoever made the bundle was interrupted before there was a shim to speak of; it is gone.
    case incomplete
    /// The shim's address is taken, and nobody answered within the limit. Kept.
    case mute
    /// There is no way to the shim's address at the moment; the text says why. Kept.
    case unreachable(String)
    /// A file of the bundle cannot be read, or not understood; the text says which. Kept.
    case damaged(String)
    /// Another process works on it. Kept.
    case busy
    /// It should have gone, and could not; the text says why. Kept.
    case notRemoved(String)
    /// What lies there is no bundle of ours: a file, a link, somebody else's; the text says what. It was
    /// not touched, and nothing in it was looked at.
    case foreign(String)
  }

  public struct Entry: Sendable {
    public var namespace: String
    /// The name of what lies there, which for ``Outcome/foreign(_:)`` need not be an id.
    public var id: String
    /// The sandbox that the task is attached to.
    public var sandboxID: String?
    public var isSandbox: Bool
    public var outcome: Outcome
    /// Of what was cleaned up or reaped: how it ended, as far as somebody knows.
    public var exit: TaskExit?
  }

  /// One for each thing that lies where bundles do, in the order of namespaces and names. A namespace
  /// that is foreign, or cannot be listed, is one with an empty id.
  public internal(set) var entries: [Entry] = []
  /// What was taken up. It is the caller's to release.
  public internal(set) var tasks: [ShimTask] = []
  public internal(set) var sandboxes: [ShimSandbox] = []
  /// The work directories that belonged to nothing and were removed, as `namespace/id`.
  public internal(set) var sweptWork: [String] = []

  /// What was kept and may be otherwise when it is tried again (``ShimManager/restore(again:)``).
  public var undecided: [Entry] { entries.filter(\.outcome.isUndecided) }
}

extension RestoreReport.Outcome {
  public var isUndecided: Bool {
    switch self {
    case .restored, .cleanedUp, .reaped, .incomplete, .foreign: false
    case .mute, .unreachable, .damaged, .busy, .notRemoved: true
    }
  }
}
