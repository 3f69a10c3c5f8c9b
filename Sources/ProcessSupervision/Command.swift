/// A program to run, with all that the child will have: nothing comes from this process unasked.
///
/// The child has the environment given here and no other, the descriptors of the map and no
/// others, every signal at its default and none blocked.
public struct Command: Sendable {
  /// Where the child stands among process groups and sessions.
  public enum Grouping: Hashable, Sendable {
    /// In this process's group and session.
    case inherit
    /// In a new process group that it leads, so that ``ChildProcess/signalGroup(_:)`` reaches all
    /// that it starts.
    case newGroup
    /// In a new session that it leads, without a controlling terminal.
    case newSession
  }

  /// What the child has of its own instead of sharing it with this process (clone(2)). Making any takes
  /// CAP_SYS_ADMIN.
  public struct Namespaces: OptionSet, Hashable, Sendable {
    public let rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// Semaphores, message queues and shared memory (`CLONE_NEWIPC`).
    public static let ipc = Namespaces(rawValue: 0x0800_0000)
    /// Host name and domain name (`CLONE_NEWUTS`).
    public static let uts = Namespaces(rawValue: 0x0400_0000)
    /// Process numbers (`CLONE_NEWPID`): the child is number 1, and all there end with it.
    public static let pid = Namespaces(rawValue: 0x2000_0000)
  }

  /// The path of the program's file. There is no search: it must contain a slash, and a relative
  /// path starts at ``directory``.
  public var executable: String
  /// The arguments behind the program's name; `argv[0]` is ``executable``.
  public var arguments: [String]
  /// The whole environment, each entry as `KEY=value`.
  public var environment: [String]
  /// The child's working directory; `nil` for this process's.
  public var directory: String?
  public var grouping: Grouping
  public var namespaces: Namespaces = []
  /// The child's descriptors: its own number to this process's descriptor, which stays open and
  /// this process's own. Numbers may overlap in any way. 0, 1 and 2 are `/dev/null` when not given.
  public var descriptors: [Int32: Int32]
  /// What the child gets when this process ends, however it does; `nil`: nothing. Its own children
  /// do not have it, and it is lost when it executes a program with other privileges (prctl(2),
  /// `PR_SET_PDEATHSIG`).
  public var parentDeathSignal: Int32?

  public init(
    _ executable: String, arguments: [String] = [], environment: [String] = [],
    directory: String? = nil, grouping: Grouping = .newGroup, descriptors: [Int32: Int32] = [:],
    parentDeathSignal: Int32? = nil
  ) {
    self.executable = executable
    self.arguments = arguments
    self.environment = environment
    self.directory = directory
    self.grouping = grouping
    self.descriptors = descriptors
    self.parentDeathSignal = parentDeathSignal
  }
}

extension Command: CustomStringConvertible {
  /// The command line, for people: cut when long. The environment, where secrets live, is left out.
  public var description: String {
    let line = ([executable] + arguments).joined(separator: " ")
    return line.utf8.count > 300 ? String(line.prefix(300)) + "…" : line
  }
}
