import Glibc
import Testing

@Suite("The shim as it is installed", .timeLimit(.minutes(20)))
struct ShimLinkageTests {
  @Test("is one file of at most 20 MB that needs no library and no loader")
  func size() async throws {
    let shim = try await InstalledShim.made()
    var status = stat()
    try #require(stat(shim, &status) == 0, "errno \(errno)")
    #expect(status.st_size <= 20_000_000)
    let headers = try await InstalledShim.shell(
      "readelf --wide --program-headers --dynamic \(shim)")
    #expect(headers.contains("LOAD"))
    for word in ["INTERP", "NEEDED", "DYNAMIC"] {
      #expect(!headers.contains(word), "it is not linked statically: \(headers)")
    }
    let version = try await InstalledShim.shell("\(shim) -v")
    #expect(version.contains("Version:"), "\(version)")
  }

  @Test(
    "has nothing of what a shim must not carry",
    arguments: [
      ("Foundation", "[^0-9]10Foundation|CoreFoundation|FoundationNetworking"),
      ("ICU", "icu_[0-9]|FoundationICU|FoundationInternationalization"),
      ("gRPC", "GRPC"),
      ("OpenSSL and its kin", "SSL_CTX|EVP_[A-Z]|OPENSSL_|BoringSSL|NIOSSL|TLSTransport"),
    ])
  func symbols(_ library: String, _ pattern: String) async throws {
    let symbols = "\(try await InstalledShim.made()).debug"
    // It has symbols to be found, and they are spelt like that.
    #expect(try await InstalledShim.shell("nm \(symbols) | grep -c 7NIOCore") != "0\n")
    let found = try await InstalledShim.shell("nm \(symbols) | grep -E '\(pattern)' | head -n 5")
    #expect(found.isEmpty, "of \(library): \(found)")
  }
}
