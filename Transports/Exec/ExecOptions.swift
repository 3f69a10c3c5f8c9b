/// How a command is run that a connection is made of.
public struct ExecOptions: Sendable {
  /// How long a command must live before it counts as connected. One that fails sooner is a failed
  /// try, and may be tried again; one that fails later is an error on the connection.
  public var settle: Duration
  /// How long a command may take to end by itself when its connection is closed: its input has
  /// ended then. Behind that its process group gets SIGTERM.
  public var closeGrace: Duration
  /// How long its process group may take to end at SIGTERM. Behind that it gets SIGKILL.
  public var killGrace: Duration

  public init(
    settle: Duration = .zero, closeGrace: Duration = .seconds(1), killGrace: Duration = .seconds(2)
  ) {
    self.settle = settle
    self.closeGrace = closeGrace
    self.killGrace = killGrace
  }
}
