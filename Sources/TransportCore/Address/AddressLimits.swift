/// What an address may be at most, and the names that the grammar knows.
enum AddressLimits {
  /// Bytes of the whole text.
  static let text = 8192
  /// PATH_MAX, less the final NUL.
  static let path = 4095
  /// sun_path, less the NUL that marks the name as abstract.
  static let abstractName = 107
  /// RFC 1035, 2.3.4.
  static let host = 253
  static let layers = 8
  static let parameters = 256
}

enum AddressNames {
  static let protocols = ["ttrpc", "grpc"]
  static let transports = ["unix", "vsock", "hvsock", "tcp", "fd", "memory", "exec"]
  static let layers = ["tls"]
  /// In the order in which messages list them.
  static let all = protocols + transports + layers
  static let list = all.joined(separator: ", ")
}
