internal import Glibc

/// A path by which this very program can be run once more: that of its file, or of the kernel's link to
/// it where an upgrade has replaced the file meanwhile.
///
/// - Throws: when /proc is not mounted.
package func ownExecutable() throws(SystemError) -> String {
  let path = try linkTarget("/proc/self/exe")
  return access(path, X_OK) == 0 ? path : "/proc/self/exe"
}
