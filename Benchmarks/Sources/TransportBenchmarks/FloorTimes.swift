import TLSFloor
import TLSTransport

/// What OpenSSL alone takes of a processor for the same work; with what plain TCP takes, the least that
/// any TLS on it can take.
struct FloorTimes {
  enum Work {
    case handshake(mutual: Bool, resumes: Bool)
    case bytes(size: Int)
  }

  let work: Work
  let authority: PrivateAuthority
  let server: PrivateAuthority.Pair
  let client: PrivateAuthority.Pair
  let times = ProcessorTimes()

  /// Measures once.
  func add() {
    withMaterial { material in
      switch work {
      case .handshake(let mutual, let resumes):
        times.add(tls_floor_handshake(&material, mutual ? 1 : 0, resumes ? 1 : 0, 400))
      case .bytes(let size):
        let suites = ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"]
        let best = suites.map { suite in
          var took = [0.0, 0.0]
          tls_floor_bulk(&material, suite, size, 256, &took)
          return took[0] + took[1]
        }.min()
        if let best { times.add(best / Double(1 << 30)) }
      }
    }
  }

  /// How far the figures can come, of which `ours` and `peer` took the processor times.
  func verdict(ours: ProcessorTimes, peer: ProcessorTimes, plain: ProcessorTimes) -> String {
    let least = times.typical + plain.typical
    func text(_ times: ProcessorTimes) -> String {
      if case .bytes = work { return times.gibibyte }
      return times.each
    }
    return "  processor time: ours \(text(ours)), NIOSSL \(text(peer)); "
      + "OpenSSL alone \(text(times)), plain SwiftNIO \(text(plain)): "
      + "with these two the ratio is \(fixed(peer.typical / least, 2)) at best, "
      + "and ours is \(fixed(least / ours.typical, 2)) of that"
  }

  private func withMaterial(_ body: (inout tls_floor_material) -> Void) {
    let texts = [
      authority.certificate, server.certificate, server.key, client.certificate, client.key,
    ].map { $0.map(CChar.init(bitPattern:)) + [0] }
    texts[0].withUnsafeBufferPointer { authority in
      texts[1].withUnsafeBufferPointer { server in
        texts[2].withUnsafeBufferPointer { serverKey in
          texts[3].withUnsafeBufferPointer { client in
            texts[4].withUnsafeBufferPointer { clientKey in
              var material = tls_floor_material(
                authority: authority.baseAddress, server: server.baseAddress,
                server_key: serverKey.baseAddress, client: client.baseAddress,
                client_key: clientKey.baseAddress)
              body(&material)
            }
          }
        }
      }
    }
  }
}
