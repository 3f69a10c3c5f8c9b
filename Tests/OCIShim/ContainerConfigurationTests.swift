import JSON
import Testing

@testable import OCIShim

@Suite("What is read of config.json")
struct ContainerConfigurationTests {
  private static let mappings =
    #""uidMappings":[{"containerID":5,"hostID":9,"size":1},{"containerID":0,"hostID":100,"size":9}],"#
    + #""gidMappings":[{"containerID":0,"hostID":200,"size":9}]"#

  @Test(
    arguments: [
      ("{}", false, 0, 0),
      (#"{"linux":{"namespaces":[{"type":"pid"}]}}"#, true, 0, 0),
      (#"{"linux":{"namespaces":[{"type":"pid","path":"/proc/1/ns/pid"}]}}"#, false, 0, 0),
      (#"{"linux":{"namespaces":[{"type":"user"}],\#(mappings)}}"#, false, 100, 200),
      // Mappings without a namespace map nothing.
      (#"{"linux":{"namespaces":[],\#(mappings)}}"#, false, 0, 0),
      (
        #"{"linux":{"namespaces":[{"type":"user"}],"uidMappings":[{"hostID":-1,"size":1}]}}"#,
        false, 0, 0
      ),
    ] as [(String, Bool, UInt32, UInt32)])
  func read(_ text: String, _ hasOwnPIDNamespace: Bool, _ uid: UInt32, _ gid: UInt32) throws {
    let configuration = ContainerConfiguration(try JSONValue(parsing: Array(text.utf8)))
    #expect(configuration.hasOwnPIDNamespace == hasOwnPIDNamespace)
    #expect(configuration.rootUid == uid && configuration.rootGid == gid)
  }

  @Test("a bundle without one asks for nothing")
  func missing() {
    #expect(ContainerConfiguration(bundle: "/nonexistent") == ContainerConfiguration())
  }
}
