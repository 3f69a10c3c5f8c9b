import Testing

@testable import ShimProtocol

@Suite("SocketName")
struct SocketNameTests {
  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test(
    "SHA-256 gives the digests of NIST's examples",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
      (
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
          + "lmnopqrsmnopqrstnopqrstu",
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
      ),
      (
        String(repeating: "a", count: 1_000_000),
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
      ),
    ])
  func vectors(text: String, digest: String) {
    #expect(SHA256.hexadecimal(text) == digest)
    #expect(Self.hexadecimal(SHA256.hash(Array(text.utf8))) == digest)
  }

  @Test(
    "SHA-256 pads every length around a block",
    arguments: [
      (55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
      (56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
      (63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"),
      (64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
      (65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"),
    ])
  func padding(count: Int, digest: String) {
    #expect(SHA256.hexadecimal(String(repeating: "a", count: count)) == digest)
  }

  @Test("the address is the one that Debian's containerd-shim-runc-v2 replies")
  func real() {
    #expect(
      SocketName.address(daemonAddress: "/run/hawse-test/d.sock", namespace: "ns-1", id: "c1")
        == "unix:///run/containerd/s/"
        + "56de6e1f9ae3baf54f4f060566724fd0f34cf3742d41f1d6e5ad9f4c53921e76")
    #expect(
      SocketName.address(
        daemonAddress: "/run/hawse-test//d.sock", namespace: "ns-1", id: "c1", debug: true,
        directory: "/tmp/s/")
        == "unix:///tmp/s/a2dacd3e6cc6ef77dfbd46fd81564bc1a6f1afcbb47b24fe7bf2e73a2f09873d")
  }

  @Test("older shims' abstract names")
  func legacy() {
    #expect(
      SocketName.legacyAbstractNames(namespace: "default", id: "c1") == [
        "/containerd-shim/3a4ba0ad328f407b30cccb555302fc1c4c73e1d92d16d2583787f9faddf320ca.sock",
        "/containerd-shim/default/c1/shim.sock",
      ])
  }

  @Test(
    "joining cleans as Go's path package does",
    arguments: [
      ([], ""), ([""], ""), (["", "a"], "a"), (["a", ""], "a"), (["a", "b"], "a/b"),
      (["a/", "/b"], "a/b"), (["a//b", "./c"], "a/b/c"), (["a", "../b"], "b"),
      (["/a", "../../b"], "/b"), (["a", "../../b"], "../b"), (["/"], "/"), (["/", ".."], "/"),
      (["a", ".."], "."), (["."], "."), (["..", "..", "a"], "../../a"),
      (["unix:///run/x", "ns"], "unix:/run/x/ns"),
    ] as [([String], String)])
  func join(elements: [String], path: String) {
    #expect(SocketName.join(elements) == path)
  }
}
