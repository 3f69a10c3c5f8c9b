import Glibc

/// What this process holds.
public struct Footprint: Sendable {
  /// Bytes of memory that is no file's.
  public var memory: Int
  public var descriptors: Int
  public var threads: Int

  public var json: String {
    #"{"memory": \#(memory), "descriptors": \#(descriptors), "threads": \#(threads)}"#
  }

  /// Once nothing goes on any more, and what is free has been given back to the kernel.
  public static func whenQuiet() async throws -> Footprint {
    try await Task.sleep(for: .seconds(2))
    typealias Trim = @convention(c) (Int) -> Int32
    // glibc's, of which Swift sees no declaration.
    if let trim = dlsym(nil, "malloc_trim") { _ = unsafeBitCast(trim, to: Trim.self)(0) }
    var values: [Substring: Int] = [:]
    for line in try lines(of: "/proc/self/status") {
      let words = line.split { $0 == ":" || $0 == "\t" || $0 == " " }
      if words.count >= 2, let value = Int(words[1]) { values[words[0]] = value }
    }
    var descriptors = 0
    if let folder = opendir("/proc/self/fd") {
      while readdir(folder) != nil { descriptors += 1 }
      closedir(folder)
    }
    return Footprint(
      memory: (values["RssAnon"] ?? 0) << 10, descriptors: descriptors,
      threads: values["Threads"] ?? 0)
  }
}

/// Of a file of /proc, which has no size.
public func lines(of path: String) throws -> [Substring] {
  guard let file = fopen(path, "re") else { throw Problem("\(path) cannot be read") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 64 << 10)
  while true {
    let count = fread(&chunk, 1, chunk.count, file)
    guard count > 0 else { break }
    bytes += chunk[..<count]
  }
  return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
}
