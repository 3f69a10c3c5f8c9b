#if GRPC
  /// Finds the HTTP/2 frames in a connection's bytes (RFC 9113, 4.1), and leaves them as they are. No I/O.
  struct FrameCutter {
    struct Header: Hashable {
      static let size = 9
      /// Of the payload, in bytes.
      var length: Int
      var type: UInt8
      var flags: UInt8
    }

    private var partial: [UInt8] = []
    private var current = Header(length: 0, type: 0, flags: 0)
    /// How much of the current payload is still to come.
    private var left = 0

    /// - Parameter report: called for each header, with nil, and then with its payload as it comes, in
    ///   as many pieces as it has been cut into.
    mutating func read<Bytes: Collection<UInt8>>(
      _ bytes: Bytes, _ report: (Header, Bytes.SubSequence?) -> Void
    ) {
      var rest = bytes[...]
      while !rest.isEmpty {
        if left > 0 {
          let piece = rest.prefix(left)
          left -= piece.count
          rest = rest.dropFirst(piece.count)
          report(current, piece)
          continue
        }
        let missing = rest.prefix(Header.size - partial.count)
        partial.append(contentsOf: missing)
        rest = rest.dropFirst(missing.count)
        guard partial.count == Header.size else { return }
        left = Int(partial[0]) << 16 | Int(partial[1]) << 8 | Int(partial[2])
        current = Header(length: left, type: partial[3], flags: partial[4])
        partial.removeAll(keepingCapacity: true)
        report(current, nil)
      }
    }
  }
#endif
