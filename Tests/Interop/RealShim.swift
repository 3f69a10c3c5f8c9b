import Testing

/// Everything that runs containers under Debian's containerd-shim-runc-v2, and the same under our own
/// shim, with runc: one test after the other, because each is a load by itself.
@Suite("Real shims", .serialized)
enum RealShim {}
