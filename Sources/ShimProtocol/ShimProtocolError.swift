internal import LinuxSystem

/// Why daemon and shim could not agree: a reply, a file, a name or a binary that is not as it must be.
public struct ShimProtocolError: Error, Sendable {
  public enum Code: Sendable, Hashable {
    /// The shim printed nothing.
    case emptyReply
    /// What the shim printed is none of the three dialects for certain. `message` quotes it.
    case unclearReply
    /// It is one of the dialects, but damaged or without an address that can be used.
    case damagedReply
    /// The version of the task service is not 2 or 3.
    case unsupportedVersion
    /// The protocol is not ttrpc or grpc, or it is grpc with version 2, which never had it.
    case unsupportedProtocol

    /// There is no such file.
    case missingFile
    /// The file is there, but what it holds is not what belongs into it.
    case damagedFile
    /// The `address` file of an older shim is there and empty: the shim died before it listened.
    case emptyAddressFile
    /// A directory, a fifo, a link or something else is where a file must be.
    case notRegularFile
    /// The file is larger than anything that belongs there.
    case fileTooLarge
    /// The system refused. `cause` is a `SystemError`.
    case fileOperationFailed

    /// An id or a namespace against containerd's rule.
    case invalidIdentifier
    /// A runtime's name from which no binary follows.
    case invalidRuntimeName
    /// No such shim binary.
    case binaryNotFound
    /// The shim binary is there, but somebody else could change it.
    case unsafeBinary
    /// A value that cannot be passed on, such as a path that is not absolute.
    case invalidArgument
  }

  public var code: Code
  public var message: String
  public var cause: (any Error)?

  public init(code: Code, message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }
}

extension ShimProtocolError: CustomStringConvertible {
  public var description: String {
    guard let cause else { return message }
    return "\(message): \(cause)"
  }
}
