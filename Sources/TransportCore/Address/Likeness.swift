/// Which known word somebody probably meant.
package enum Likeness {
  /// The nearest of `words` by edit distance (with swapped neighbours counted as one edit), when it
  /// is near enough to be a slip: one edit in short words, two in longer ones.
  ///
  /// - Parameter longest: a longer word is not compared.
  package static func closest(
    to word: String, among words: [String], longest: Int = 16
  ) -> String? {
    let typed = Array(word.lowercased().utf8)
    guard (1...longest).contains(typed.count) else { return nil }
    var best: (word: String, distance: Int)?
    for candidate in words {
      let letters = Array(candidate.lowercased().utf8)
      let most = letters.count <= 3 ? 1 : 2
      guard abs(letters.count - typed.count) <= most else { continue }
      let distance = Self.distance(typed, letters)
      if distance <= most, distance < best?.distance ?? .max { best = (candidate, distance) }
    }
    return best?.word
  }

  private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for row in 0..<left.count {
      var current = [row + 1]
      current.reserveCapacity(right.count + 1)
      for column in 0..<right.count {
        let substitution = last[column] + (left[row] == right[column] ? 0 : 1)
        var least = min(substitution, last[column + 1] + 1, current[column] + 1)
        if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
          least = min(least, beforeLast[column - 1] + 1)
        }
        current.append(least)
      }
      beforeLast = last
      last = current
    }
    return last[right.count]
  }
}
