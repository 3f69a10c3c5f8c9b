import JSON
import Testing

@testable import ShimManagement

@Suite("OCISpec")
struct SpecOCITests {
  private func parse(_ text: String) throws(ShimManagementError) -> OCISpec {
    try OCISpec(parsing: text.utf8)
  }

  @Test(
    "refuses a config.json that nothing can run from, and says what is wrong with it",
    arguments: [
      ("", "line 1, column 1"), ("{\n\"process\": }", "line 2, column 12"),
      ("[]", "an array"), ("7", "a number"), ("{}", "process.args"),
      (#"{"process":{}}"#, "process.args"), (#"{"process":{"args":[]}}"#, "not empty"),
      (#"{"process":{"args":"sh"}}"#, "array of strings"),
      (#"{"process":{"args":["sh",1]}}"#, "array of strings"),
      (#"{"process":[]}"#, "process.args"),
      (#"{"process":{"args":["sh"]},"annotations":[]}"#, "annotations"),
      (#"{"process":{"args":["sh"]},"linux":{"gidMappings":{}}}"#, "gidMappings"),
    ])
  func faults(text: String, fault: String) {
    let error = failure { _ = try parse(text) }
    #expect(error?.code == .invalidSpec)
    #expect(error?.description.contains(fault) == true, "\(String(describing: error))")
    #expect(error?.description.contains("config.json") == true)
  }

  @Test("refuses one that is larger than a bundle may have")
  func tooLarge() {
    let filler = String(repeating: " ", count: OCISpec.largest)
    #expect(failure { _ = try parse("{}" + filler) }?.code == .invalidSpec)
  }

  @Test("keeps what it does not know, and whole numbers exact")
  func unknown() throws {
    let text =
      #"{"annotations":{"k":"v"},"#
      + #""linux":{"resources":{"memory":{"limit":9007199254740993}},"x":18446744073709551615},"#
      + #""process":{"args":["sh"],"user":{"gid":1,"uid":1,"umask":18}},"vm":{"a":[null,true]}}"#
    var spec = try parse(text)
    #expect(String(decoding: spec.bytes(), as: UTF8.self) == text)
    spec.user = OCIUser(uid: 5, gid: 6, additionalGids: [7])
    #expect(spec.document["process", "user", "umask"]?.integer == 18)
    #expect(spec.user == OCIUser(uid: 5, gid: 6, additionalGids: [7]))
  }

  @Test("members can be set and read back")
  func members() throws {
    var spec = try parse(#"{"process":{"args":["sh"]}}"#)
    spec.args = ["a", "b"]
    spec.env = ["X=1"]
    spec.cwd = "/w"
    spec.terminal = true
    spec.rootPath = "/r"
    spec.isRootReadonly = true
    spec.hostname = "h"
    spec.cgroupsPath = "/c"
    spec.group = "pod1"
    let again = try OCISpec(parsing: spec.bytes())
    #expect(again == spec)
    #expect(again.args == ["a", "b"] && again.env == ["X=1"] && again.cwd == "/w")
    #expect(again.terminal && again.isRootReadonly)
    #expect(again.rootPath == "/r" && again.hostname == "h" && again.cgroupsPath == "/c")
    #expect(again.annotations == ["io.containerd.runc.v2.group": "pod1"])
    spec.group = nil
    #expect(spec.document["annotations"] == nil)
  }

  @Test("equal specifications give equal bytes")
  func stable() throws {
    let one = try OCISpec.standard(id: "a", namespace: "n", args: ["sh"])
    let two = try OCISpec(parsing: one.bytes())
    #expect(one.bytes() == two.bytes())
  }

  @Test("the environment: a later entry of the same name takes the earlier one's place")
  func environment() throws {
    let spec = try OCISpec.standard(
      id: "a", namespace: "n", args: ["sh"], env: ["A=1", "PATH=/x", "A=2", "B="], terminal: true)
    #expect(spec.env == ["PATH=/x", "TERM=xterm", "A=2", "B="])
  }

  @Test("different names never share a cgroup")
  func cgroups() {
    #expect(
      OCISpec.defaultCgroupsPath(id: "b.c", namespace: "a")
        != OCISpec.defaultCgroupsPath(id: "c", namespace: "a.b"))
    #expect(
      OCISpec.defaultCgroupsPath(id: "b-c", namespace: "a")
        != OCISpec.defaultCgroupsPath(id: "c", namespace: "a-b"))
  }

  @Test(
    "refuses a process that cannot be started",
    arguments: [
      ([], [], "/"), ([""], [], "/"), (["a\u{0}"], [], "/"), (["a"], ["X"], "/"),
      (["a"], ["=x"], "/"), (["a"], ["A=\u{0}"], "/"), (["a"], [], "relative"), (["a"], [], ""),
    ] as [([String], [String], String)])
  func processes(args: [String], env: [String], cwd: String) throws {
    let error = failure {
      _ = try OCISpec.standard(id: "a", namespace: "n", args: args, env: env, cwd: cwd)
    }
    #expect(error?.code == .invalidSpec)
    let spec = try OCISpec.standard(id: "a", namespace: "n", args: ["sh"])
    let exec = failure { _ = try spec.execProcess(args: args, env: env, cwd: cwd) }
    #expect(exec?.code == .invalidSpec)
  }

  @Test("an exec has the container's rights and environment, and its own command")
  func exec() throws {
    let spec = try OCISpec.standard(
      id: "a", namespace: "n", args: ["sh"], env: ["A=1"], cwd: "/w", user: OCIUser(uid: 3, gid: 4))
    let process = try JSONValue(
      parsing: spec.execProcess(args: ["ps", "-e"], env: ["A=2"], terminal: true))
    #expect(process["args"]?.strings == ["ps", "-e"])
    #expect(process["env"]?.strings == [OCISpec.defaultPath, "A=2", "TERM=xterm"])
    #expect(process["cwd"]?.string == "/w")
    #expect(process["terminal"]?.bool == true)
    #expect(process["user"] == ["uid": 3, "gid": 4])
    #expect(process["capabilities"] == spec.document["process", "capabilities"])
    #expect(process["noNewPrivileges"]?.bool == true)
    let other = try JSONValue(
      parsing: spec.execProcess(args: ["id"], cwd: "/", user: OCIUser(uid: 0, gid: 0)))
    #expect(other["user"] == ["uid": 0, "gid": 0])
    #expect(other["terminal"]?.bool == false)
  }

  @Test("joining a process's namespaces replaces those, and leaves it its host name")
  func join() throws {
    var spec = try OCISpec.standard(id: "a", namespace: "n", args: ["sh"])
    let before = spec.namespaces
    try spec.joinNamespaces(of: 42, [.network, .ipc, .uts, .user])
    #expect(spec.namespaces.count == before.count + 1)
    func path(_ kind: OCINamespace.Kind) -> String? {
      spec.namespaces.first { $0.kind == kind }?.path
    }
    #expect(path(.network) == "/proc/42/ns/net")
    #expect(path(.ipc) == "/proc/42/ns/ipc")
    #expect(path(.uts) == "/proc/42/ns/uts")
    #expect(path(.user) == "/proc/42/ns/user")
    #expect(path(.pid) == nil && path(.mount) == nil)
    #expect(spec.hostname == nil)
    spec.useHostNetwork()
    #expect(!spec.namespaces.contains { $0.kind == .network })
    #expect(failure { try spec.joinNamespaces(of: 0) }?.code == .invalidSpec)
  }

  @Test(
    "understands ctr's notation for mounts",
    arguments: [
      (
        "type=bind,source=/a,target=/b,options=rbind:ro",
        OCIMount(destination: "/b", type: "bind", source: "/a", options: ["rbind", "ro"])
      ),
      (
        "dst=/b//c/,src=/a,options=ro",
        OCIMount(destination: "/b/c", type: "bind", source: "/a", options: ["rbind", "ro"])
      ),
      (
        "type=tmpfs,src=tmpfs,destination=/t,options=size=1m:mode=755",
        OCIMount(
          destination: "/t", type: "tmpfs", source: "tmpfs", options: ["size=1m", "mode=755"])
      ),
    ])
  func mounts(text: String, mount: OCIMount) throws {
    #expect(try OCIMount(parsing: text) == mount)
  }

  @Test(
    "refuses mounts that are none, or lead out",
    arguments: [
      ("", "key=value"), ("type=bind", "no target"), ("target=/b", "no source"),
      ("source=/a,target=/b,target=/c", "twice"), ("source=/a,src=/b,target=/c", "twice"),
      ("source=/a,target=/b,colour=red", "colour"), ("source=/a,target=", "key=value"),
      ("source=/a,target=b", "target \"b\""), ("source=/a,target=/", "target \"/\""),
      ("source=/a,target=/b/../../c", "target"), ("source=a,target=/b", "source \"a\""),
      ("source=/a/..,target=/b", "source"), ("source=/a,target=/b,", "key=value"),
    ])
  func badMounts(text: String, fault: String) {
    let error = failure { _ = try OCIMount(parsing: text) }
    #expect(error?.code == .invalidSpec)
    #expect(error?.description.contains(fault) == true, "\(String(describing: error))")
  }

  @Test("understands users by number, and no other", arguments: ["", "root", "1:", ":1", "1:2:3"])
  func users(text: String) throws {
    #expect(try OCIUser(parsing: "7") == OCIUser(uid: 7, gid: 7))
    #expect(try OCIUser(parsing: "7:8") == OCIUser(uid: 7, gid: 8))
    for wrong in [text, "+1", "-1", "4294967296", "1:x"] {
      #expect(failure { _ = try OCIUser(parsing: wrong) }?.code == .invalidSpec)
    }
  }
}
