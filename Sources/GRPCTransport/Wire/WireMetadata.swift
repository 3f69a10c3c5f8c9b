#if GRPC
  internal import GRPCCore
  internal import RPCCore

  extension Metadata {
    /// A call's metadata as headers.
    ///
    /// Values of keys that end in `-bin` are base64, as they are on the wire.
    ///
    /// - Throws: InvalidArgument for what a header cannot carry (RFC 9110, 5.5; gRPC's
    ///   Custom-Metadata) and for names that are the protocol's own: a value from elsewhere must not
    ///   become a path or a second timeout.
    init(_ options: RPCCallOptions) throws(RPCError) {
      self.init()
      reserveCapacity(options.metadata.entries.count + 1)
      for entry in options.metadata.entries {
        guard Self.isKey(entry.key) else {
          throw RPCError(
            code: .invalidArgument,
            message: "the metadata key \(entry.key.debugDescription) cannot be a gRPC header",
            reason: .encoding)
        }
        guard entry.value.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else {
          throw RPCError(
            code: .invalidArgument,
            message: "the value of the metadata key \"\(entry.key)\" is not printable ASCII, "
              + "which is all that a gRPC header carries",
            reason: .encoding)
        }
        addString(entry.value, forKey: entry.key)
      }
      if let timeout = options.timeout {
        addString(WireTimeout.encode(timeout), forKey: WireTimeout.key)
      }
    }

    private static func isKey(_ key: String) -> Bool {
      !key.isEmpty && !key.hasPrefix("grpc-") && !reserved.contains(key)
        && key.utf8.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
            true
          default: false
          }
        }
    }

    private static let reserved: Set<String> = [
      "content-type", "te", "host", "connection", "transfer-encoding", "upgrade", "keep-alive",
      "proxy-connection",
    ]

    /// What of the headers is the caller's own.
    var custom: RPCMetadata {
      var custom: RPCMetadata = [:]
      for (key, value) in self
      where !key.hasPrefix(":") && !key.hasPrefix("grpc-") && !Self.reserved.contains(key) {
        custom.append(value.encoded(), for: key)
      }
      return custom
    }

    var timeout: Duration? {
      self[stringValues: WireTimeout.key].first { _ in true }.flatMap(WireTimeout.decode)
    }
  }
#endif
