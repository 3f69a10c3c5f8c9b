internal import COpenSSL

#if canImport(Glibc)
  internal import Glibc
#endif

/// The two ends of a connection's bytes as OpenSSL sees them: input that is lent for the length of a
/// call, and output that goes into memory that is lent, or else into a buffer of its own.
///
/// It never blocks and never says that it is full, so OpenSSL is always through with a record when a
/// call returns. Nothing is copied but into and out of OpenSSL's own record buffers.
struct TLSWire {
  var input: UnsafeRawPointer?
  var inputCount = 0
  var output: UnsafeMutableRawPointer?
  var outputRoom = 0
  var outputCount = 0
  /// What came while no output was lent, or did not fit: handshakes and alerts. In order after what
  /// was lent.
  private(set) var spill: UnsafeMutableRawPointer?
  private(set) var spillCount = 0
  private var spillCapacity = 0

  mutating func read(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
    guard let input, inputCount > 0 else { return 0 }
    let taken = min(count, inputCount)
    bytes.copyMemory(from: input, byteCount: taken)
    self.input = input + taken
    inputCount -= taken
    return taken
  }

  mutating func write(_ bytes: UnsafeRawPointer, _ count: Int) -> Bool {
    if spillCount == 0, let output, outputRoom - outputCount >= count {
      (output + outputCount).copyMemory(from: bytes, byteCount: count)
      outputCount += count
      return true
    }
    let needed = spillCount + count
    if needed > spillCapacity {
      let capacity = max(needed, 4096, spillCapacity * 2)
      guard let grown = realloc(spill, capacity) else { return false }
      (spill, spillCapacity) = (grown, capacity)
    }
    guard let spill else { return false }
    (spill + spillCount).copyMemory(from: bytes, byteCount: count)
    spillCount = needed
    return true
  }

  /// The spilt bytes have been taken. The memory goes too: a handshake's is never needed again.
  mutating func discardSpill() {
    free(spill)
    spill = nil
    (spillCount, spillCapacity) = (0, 0)
  }
}

extension TLSWire {
  /// The BIO_METHOD that reads from and writes to a wire, whose address is the BIO's data.
  ///
  /// Unsafe only in name: it is made once, before any thread has it, and never changed.
  nonisolated(unsafe) private static let method: OpaquePointer? = {
    guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hawsepipe") else {
      return nil
    }
    BIO_meth_set_create(method) { bio in
      BIO_set_init(bio, 1)
      return 1
    }
    BIO_meth_set_read_ex(method) { bio, bytes, count, done in
      hp_bio_clear_retry(bio)
      guard let wire = TLSWire.of(bio), let bytes, let done else { return 0 }
      done.pointee = wire.pointee.read(UnsafeMutableRawPointer(bytes), count)
      if done.pointee == 0 { hp_bio_set_retry_read(bio) }
      return done.pointee == 0 ? 0 : 1
    }
    BIO_meth_set_write_ex(method) { bio, bytes, count, done in
      hp_bio_clear_retry(bio)
      guard let wire = TLSWire.of(bio), let bytes, let done,
        wire.pointee.write(UnsafeRawPointer(bytes), count)
      else { return 0 }
      done.pointee = count
      return 1
    }
    BIO_meth_set_ctrl(method) { _, command, _, _ in
      // OpenSSL flushes after each flight; all else that it may ask is for other kinds of BIO.
      command == BIO_CTRL_FLUSH ? 1 : 0
    }
    return method
  }()

  private static func of(_ bio: OpaquePointer?) -> UnsafeMutablePointer<TLSWire>? {
    BIO_get_data(bio)?.assumingMemoryBound(to: TLSWire.self)
  }

  /// A BIO on `wire`, or nil when there is no memory.
  static func bio(on wire: UnsafeMutablePointer<TLSWire>) -> OpaquePointer? {
    guard let method, let bio = BIO_new(method) else { return nil }
    BIO_set_data(bio, wire)
    return bio
  }
}
