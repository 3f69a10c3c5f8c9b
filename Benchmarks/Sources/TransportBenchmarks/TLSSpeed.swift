enum TLSSpeed {
  static func run() async throws {}
}
