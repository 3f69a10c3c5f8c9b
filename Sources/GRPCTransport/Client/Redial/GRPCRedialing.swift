#if GRPC
  public import TransportCore

  /// How a client connects anew.
  public struct GRPCRedialing: Sendable {
    /// How long no dial is begun after one that failed: random between `first` and three times the
    /// last pause, never above `most`.
    public var backoff: ConnectOptions.Backoff
    /// How many calls may wait for a connection. One more fails with `.resourceExhausted`.
    public var maximumWaitingCalls: Int

    public init(
      backoff: ConnectOptions.Backoff = .init(first: .milliseconds(50), most: .seconds(3)),
      maximumWaitingCalls: Int = 1024
    ) {
      self.backoff = backoff
      self.maximumWaitingCalls = maximumWaitingCalls
    }
  }
#endif
