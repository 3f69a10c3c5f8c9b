#if GRPC
  internal import GRPCCore
  internal import RPCCore

  // Both modules have these names. Within this module the short ones are RPCCore's.
  typealias RPCError = RPCCore.RPCError
  typealias RPCStream = RPCCore.RPCStream
  typealias GRPCError = GRPCCore.RPCError
#endif
