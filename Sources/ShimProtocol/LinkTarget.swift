internal import Glibc

/// What a symbolic link holds.
func linkTarget(_ path: String) throws(SystemCallError) -> String {
  var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
  let length = readlink(path, &buffer, buffer.count)
  guard length >= 0 else { throw .last("readlink") }
  return String(decoding: buffer[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
}
