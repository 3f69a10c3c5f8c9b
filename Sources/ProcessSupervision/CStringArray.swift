internal import Glibc

/// Strings as `execve` wants them: pointers to C strings, with a null at the end.
struct CStringArray: ~Copyable {
  let pointer: UnsafePointer<UnsafeMutablePointer<CChar>?>
  private let storage: UnsafeMutableBufferPointer<UnsafeMutablePointer<CChar>?>

  init(_ strings: [String]) {
    storage = .allocate(capacity: strings.count + 1)
    storage.initialize(repeating: nil)
    for (index, string) in strings.enumerated() { storage[index] = strdup(string) }
    // Never null: the buffer has at least one element.
    pointer = UnsafePointer(storage.baseAddress.unsafelyUnwrapped)
  }

  deinit {
    for string in storage { free(string) }
    storage.deallocate()
  }
}
