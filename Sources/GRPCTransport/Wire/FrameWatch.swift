#if GRPC
  /// Reads the headers of the HTTP/2 frames that a server sends (RFC 9113, 4.1), to know that it
  /// speaks HTTP/2 at all, when it is ready and when it is about to leave. No I/O.
  struct FrameWatch {
    enum Event: Equatable {
      /// The server's SETTINGS have come: it speaks HTTP/2.
      case ready
      /// GOAWAY: no new calls.
      case leaving
      /// What it speaks instead. Nothing is watched after that.
      case stranger(Stranger)
    }

    enum Stranger: Equatable {
      case ttrpc, http1, tls, unknown
    }

    private var frames = FrameCutter()
    /// The first header, as far as it has come.
    private var first: [UInt8] = []
    private(set) var isReady = false
    private var isStranger = false

    mutating func read(_ bytes: some Collection<UInt8>, _ report: (Event) -> Void) {
      guard !isStranger else { return }
      if !isReady {
        first.append(contentsOf: bytes.prefix(FrameCutter.Header.size - first.count))
        if let stranger = Self.stranger(first) {
          isStranger = true
          return report(.stranger(stranger))
        }
      }
      frames.read(bytes) { header, payload in
        guard payload == nil else { return }
        if !isReady {
          isReady = true
          report(.ready)
        }
        if header.type == 0x7 { report(.leaving) }
      }
    }

    /// What begins in a way that no server's preface does (RFC 9113, 3.4: a SETTINGS frame on stream
    /// 0 that is no acknowledgement), as soon as that shows.
    private static func stranger(_ header: [UInt8]) -> Stranger? {
      let isText = header.starts(with: "HTTP/".utf8)
      if isText { return .http1 }
      if header.count < 5, "HTTP/".utf8.starts(with: header) { return nil }
      // A TLS record: alert or handshake, of version 3.x.
      if header.count >= 2, header[0] == 0x15 || header[0] == 0x16, header[1] == 3 { return .tls }
      guard header.count == FrameCutter.Header.size else { return nil }
      let isSettings =
        header[3] == 0x4 && header[4] == 0 && header[5...].allSatisfy { $0 == 0 }
        && header[0] == 0 && (Int(header[1]) << 8 | Int(header[2])) % 6 == 0
      if isSettings { return nil }
      // ttrpc: length (4 bytes, at most 4 MiB), stream (4), type (1, 2 or 3).
      let length =
        Int(header[0]) << 24 | Int(header[1]) << 16 | Int(header[2]) << 8 | Int(header[3])
      if length <= 4 << 20, (1...3).contains(header[8]) { return .ttrpc }
      return .unknown
    }
  }
#endif
