#if GRPC
  internal import GRPCCore
  internal import NIOCore
  internal import RPCCore
  internal import GRPCNIOTransportHTTP2Posix

  extension RPCError {
    /// A status that is not OK, with the trailers that came with it.
    init(_ status: Status, _ trailers: Metadata) {
      let details = trailers[binaryValues: StatusDetails.key].first { _ in true }
      self.init(
        code: RPCCode(rawValue: Int32(status.code.rawValue)), message: status.message,
        details: details.map(StatusDetails.decode) ?? [])
    }
  }

  extension Status {
    /// Codes that gRPC does not know become Unknown: HTTP/2 peers take nothing else.
    init(_ error: RPCError) {
      self.init(
        code: Code(rawValue: Int(error.code.rawValue)) ?? .unknown, message: error.message)
    }
  }

  extension Metadata {
    init(trailersOf error: RPCError) {
      self.init()
      guard !error.details.isEmpty else { return }
      addBinary(StatusDetails.encode(error), forKey: StatusDetails.key)
    }
  }

  extension GRPCNIOTransportBytes {
    /// One copy: the library keeps its buffers to itself.
    init(_ buffer: ByteBuffer) { self.init(buffer.readableBytesView) }

    /// One copy, too.
    var asBuffer: ByteBuffer { withUnsafeBytes { ByteBuffer(bytes: $0) } }
  }

  extension MethodDescriptor {
    init(_ method: RPCMethod, _ type: RPCType) {
      self.init(fullyQualifiedService: method.service, method: method.name, type: type)
    }
  }
#endif
