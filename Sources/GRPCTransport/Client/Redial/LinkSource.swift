#if GRPC
  internal import NIOCore
  internal import NIOPosix
  internal import RPCCore
  internal import Synchronization
  internal import TransportCore

  /// Has a connection for whoever asks, and dials anew when the last one was lost.
  final class LinkSource: Sendable {
    typealias Outcome = Result<GRPCLink, RPCError>
    private typealias Machine = LinkStateMachine<GRPCLink, CheckedContinuation<Outcome, Never>>

    private struct State {
      var machine: Machine
      /// The dial under way, or the rest before the next.
      var work: Task<Void, Never>?
      var lastToken: Machine.Token = 0
    }

    let address: TransportAddress
    let options: GRPCClientOptions
    private let connectors: TransportRegistry
    private let connect: ConnectOptions
    private let maximumWaiting: Int
    /// For waits' ends.
    private let loop: any EventLoop
    private let onClose: (@Sendable (RPCError?) -> Void)?
    private let state: Mutex<State>

    init(
      _ address: TransportAddress, _ connectors: TransportRegistry, _ connect: ConnectOptions,
      _ options: GRPCClientOptions, _ redialing: GRPCRedialing,
      onClose: (@Sendable (RPCError?) -> Void)? = nil
    ) {
      self.address = address
      self.connectors = connectors
      self.connect = connect
      self.options = options
      self.onClose = onClose
      loop = (connect.group ?? MultiThreadedEventLoopGroup.singleton).any()
      maximumWaiting = redialing.maximumWaitingCalls
      state = Mutex(
        State(
          machine: Machine(
            backoff: redialing.backoff, maximumWaiting: redialing.maximumWaitingCalls)))
    }

    var current: GRPCLink? { state.withLock { $0.machine.current } }
    var waiting: Int { state.withLock { $0.machine.waiting } }

    /// The connection to use, dialled if there is none.
    ///
    /// - Parameter isPatient: whether to wait until a dial succeeds, and not for one dial alone.
    nonisolated(nonsending) func link(
      isPatient: Bool, by deadline: ContinuousClock.Instant? = nil
    ) async throws(RPCError) -> GRPCLink {
      // The common case waits for nobody, and needs no continuation.
      if let link = current, link.isUsable { return link }
      let token = state.withLock { state in
        state.lastToken += 1
        return state.lastToken
      }
      let alarm = deadline.map { deadline in
        Task { [weak self, loop] in
          // Cancelled when the answer came first.
          guard await loop.sleep(for: deadline - .now) else { return }
          self?.withdraw(token, .waitedTooLong)
        }
      }
      defer { alarm?.cancel() }
      let outcome = await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          ask(token, continuation, isPatient)
          // What came before there was anybody to wake.
          if Task.isCancelled { withdraw(token, .waitWithdrawn) }
          if let deadline, deadline <= .now { withdraw(token, .waitedTooLong) }
        }
      } onCancel: {
        withdraw(token, .waitWithdrawn)
      }
      return try outcome.get()
    }

    private func ask(
      _ token: Machine.Token, _ waiter: CheckedContinuation<Outcome, Never>, _ isPatient: Bool
    ) {
      let answer = state.withLock { state in
        let answer = state.machine.ask(
          token, waiter, isPatient: isPatient, now: .now, isAlive: \.isUsable)
        switch answer {
        case .dial:
          state.work?.cancel()
          state.work = Task { [weak self] in await self?.dial() }
        case .rest(let rest):
          state.work?.cancel()
          state.work = self.dial(after: rest)
        case .use, .wait, .fail, .full: break
        }
        return answer
      }
      switch answer {
      case .use(let link): waiter.resume(returning: .success(link))
      case .fail(let error): waiter.resume(returning: .failure(error))
      case .full:
        waiter.resume(
          returning: .failure(
            RPCError(
              code: .resourceExhausted,
              message:
                "\(maximumWaiting) calls wait for a connection to \(address) already, and no "
                + "more may", reason: .connectionClosed)))
      case .dial, .wait, .rest: break
      }
    }

    private func withdraw(_ token: Machine.Token, _ error: RPCError) {
      let waiter = state.withLock { $0.machine.withdraw(token) }
      waiter?.resume(returning: .failure(error))
    }

    private func dial() async {
      let outcome: Outcome
      do throws(TransportError) {
        outcome = .success(
          try await GRPCLink.connect(
            to: address, using: connectors, connect: connect, options, onClose: onClose))
      } catch {
        outcome = .failure(
          RPCError(
            code: .unavailable, message: "no connection to \(address)", reason: .connectionClosed,
            cause: error))
      }
      let told = state.withLock { state in
        let told = state.machine.dialled(outcome, now: .now, random: .random(in: 0...1))
        state.work = told?.rest.map(dial(after:))
        return told
      }
      guard let told else {
        if case .success(let link) = outcome { link.close() }
        return
      }
      for waiter in told.tell { waiter.resume(returning: outcome) }
    }

    private func dial(after rest: Duration) -> Task<Void, Never> {
      Task { [weak self] in
        // Cancelled when somebody has dialled before, or the client was closed.
        guard (try? await Task.sleep(for: rest)) != nil else { return }
        await self?.restIsOver()
      }
    }

    private func restIsOver() async {
      guard state.withLock({ $0.machine.rested() }) else { return }
      await dial()
    }

    /// Ends it: those who wait fail, and nothing is dialled any more.
    ///
    /// - Returns: the connection that there was, for the caller to close.
    func shut() -> GRPCLink? {
      let error = RPCError(
        code: .unavailable, message: "the client of \(address) was closed by this side",
        reason: .connectionClosed)
      let (ended, work) = state.withLock { state in (state.machine.close(error), state.work) }
      work?.cancel()
      for waiter in ended?.1 ?? [] { waiter.resume(returning: .failure(error)) }
      return ended?.0
    }
  }

  extension RPCError {
    fileprivate static var waitedTooLong: RPCError {
      RPCError(
        code: .deadlineExceeded, message: "no connection within the call's timeout",
        reason: .deadline)
    }

    fileprivate static var waitWithdrawn: RPCError {
      RPCError(
        code: .cancelled,
        message: "the calling task was cancelled while it waited for a connection",
        reason: .cancelled)
    }
  }
#endif
