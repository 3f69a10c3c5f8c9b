/// Where a certificate, a key or a CA is.
public enum TLSMaterial: Sendable, Hashable {
  /// A PEM file, which is looked at again while connections are made: what replaces it is used.
  case file(String)
  /// The PEM text itself.
  case pem([UInt8])
}

extension TLSMaterial: CustomStringConvertible, CustomDebugStringConvertible {
  /// The file's name; of PEM text nothing but its size, since it may be a key.
  public var description: String {
    switch self {
    case .file(let path): path
    case .pem(let bytes): "PEM text of \(bytes.count) bytes"
    }
  }

  public var debugDescription: String { description }
}

extension TLSMaterial: CustomReflectable {
  /// A dump is a log, too.
  public var customMirror: Mirror { Mirror(self, children: ["material": description]) }
}

/// What opens an encrypted private key. It does not show in descriptions.
public struct TLSPassphrase: Sendable, Hashable {
  let bytes: [UInt8]

  public init(_ text: String) { bytes = Array(text.utf8) }
}

extension TLSPassphrase: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  public var description: String { "***" }
  public var debugDescription: String { "***" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
