import Testing

/// Everything that runs containers under Debian's containerd-shim-runc-v2 and runc: one test after
/// the other, because each is a load by itself.
@Suite("Debian's runc shim", .serialized)
enum RealShim {}
