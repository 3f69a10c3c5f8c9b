import ShimManagement
import ShimProtocol
import TOML
import Testing

@testable import SandboxControl

@Suite("the controller's configuration")
struct ServeConfigurationTests {
  private func parse(_ text: String) throws -> ServeConfiguration {
    try ServeConfiguration(parsing: Array(text.utf8))
  }

  @Test("nothing gives the defaults, and so does the default text")
  func defaults() throws {
    #expect(try parse("") == ServeConfiguration())
    var explicit = ServeConfiguration()
    explicit.address = explicit.defaultAddress
    #expect(try parse(ServeConfiguration.defaultText) == explicit)
    #expect(explicit.limits.load == .seconds(5))
    #expect(explicit.limits.shutdown == .seconds(3))
    #expect(explicit.limits.state == .seconds(2))
  }

  @Test("every commented line of the default text is one that is understood")
  func comments() throws {
    let lines = ServeConfiguration.defaultText.split(separator: "\n").map { line in
      let rest = line.dropFirst(2)
      let isKey = rest.hasPrefix("[") || rest.contains(" = ") && !rest.contains(", ")
      return line.hasPrefix("# ") && isKey ? String(rest) : String(line)
    }
    let configuration = try parse(lines.joined(separator: "\n"))
    #expect(configuration.drivers.count == 2)
    #expect(configuration.runtimes == ["io.containerd.hawsepipe.v1": "shim"])
    #expect(configuration.eventsSocket == "/run/containerd/containerd.sock.ttrpc")
    guard case .remote(let remote) = configuration.drivers["vm"] else {
      Issue.record("no remote driver")
      return
    }
    #expect(remote.address == "ttrpc+hvsock:///run/vm/{id}.vsock:1024")
    #expect(remote.probe == .ping)
  }

  private func shim(_ keys: String) throws -> (ServeConfiguration.Shim?, warnings: [String]) {
    let configuration = try parse("[drivers.shim]\ntype = \"shim\"\n\(keys)")
    guard case .shim(let shim) = configuration.drivers["shim"] else { return (nil, []) }
    return (shim, configuration.warnings.map(\.description))
  }

  @Test("shims get what env says, and sched_core as containerd's older configurations have it")
  func environment() throws {
    let (plain, none) = try shim("env = [\"A=1\", \"B=x=y\", \"A=2\"]\nsched_core = false")
    #expect(plain?.environment.variables == ["A": "2", "B": "x=y"] && none == [])
    let (old, _) = try shim("sched_core = true\nenv = [\"A=1\"]")
    #expect(old?.environment.variables == ["A": "1", "SCHED_CORE": "1"])
    let (both, _) = try shim("env = [\"SCHED_CORE=0\"]\nsched_core = true")
    #expect(both?.environment.variables == ["SCHED_CORE": "0"])
    let (odd, warnings) = try shim("sched_core = \"yes\"")
    #expect(odd?.environment.variables == [:])
    #expect(
      warnings == ["line 3: sched_core is passed over: it must be true or false, and is \"yes\""])
  }

  @Test("the dialect in which shims are started may be said")
  func dialect() throws {
    #expect(try shim("").0?.dialect == nil)
    #expect(try shim("dialect = \"bootstrap\"").0?.dialect == .bootstrap)
    #expect(try shim("dialect = \"options\"").0?.dialect == .options)
  }

  @Test(
    "what cannot be meant is an error with its line",
    arguments: [
      ("stat = \"/a\"", 1, "did you mean \"state\"?"),
      ("state = \"relative\"", 1, "absolute path"),
      ("\nroot = 5", 2, "a string"),
      ("address = \"ttrpc+unix:///a\"", 1, "over gRPC"),
      ("address = \"grpc+unixx:///a\"", 1, "address"),
      ("namespaces = []", 1, "array"),
      ("namespaces = [\"a b\"]", 1, "not a valid namespace"),
      ("log-level = \"loud\"", 1, "one of"),
      ("[timeouts]\n\"io.containerd.timeout.shim.laod\" = \"5s\"", 2, "shim.load"),
      ("[timeouts]\n\"io.containerd.timeout.shim.load\" = \"5\"", 2, "a time"),
      ("[timeouts]\n\"io.containerd.timeout.shim.load\" = \"0s\"", 2, "above 0"),
      ("[timeouts]\n\"io.containerd.timeout.shim.load\" = \"25h\"", 2, "a time"),
      ("[event]\ncontainerd = \"/a\"", 1, "did you mean \"events\"?"),
      ("[events]\ncontainer = \"/a\"", 2, "did you mean \"containerd\"?"),
      ("[drivers.a]\nbinary = \"/a\"", 1, "no type"),
      ("[drivers.a]\ntype = \"shim\"\nenv = [\"A\"]", 3, "NAME=value"),
      ("[drivers.a]\ntype = \"shim\"\nenv = \"A=1\"", 3, "array of strings"),
      ("[drivers.a]\ntype = \"shim\"\ndialect = \"new\"", 3, "options, bootstrap"),
      ("[drivers.a]\ntype = \"vm\"", 2, "\"shim\" or \"remote\""),
      ("[drivers.a]\ntype = \"shim\"\naddress = \"unix:///a\"", 3, "has no \"address\""),
      ("[drivers.a]\ntype = \"remote\"\nprobe = \"pong\"", 3, "transport, ping, status"),
      ("[drivers.a]\ntype = \"remote\"\nversion = 0", 3, "2 or 3"),
      ("[drivers.a]\ntype = \"remote\"\naddress = \"nowhere\"", 3, "address"),
      ("[drivers.a.b]\nc = 1", 1, "no tables"),
      ("[runtimes.\"io.r.v1\"]\ndriver = \"shin\"", 2, "did you mean \"shim\"?"),
      ("[runtimes.\"io.r.v1\"]\ndrive = \"shim\"", 2, "did you mean \"driver\"?"),
      ("default-driver = \"other\"", 1, "no [drivers.other]"),
      ("state = \"/a\"\nstate = \"/b\"", 2, "twice"),
      ("state = ", 1, "value"),
    ] as [(String, Int, String)])
  func faults(_ text: String, _ line: Int, _ words: String) throws {
    do {
      _ = try parse(text)
      Issue.record("it is taken: \(text)")
    } catch let fault as ServeConfiguration.Fault {
      #expect(fault.line == line, "\(fault)")
      #expect(fault.description.contains(words), "\(fault)")
    }
  }

  @Test("runtimes' names are quoted or not")
  func runtimes() throws {
    for name in ["\"io.r.v1\"", "io.r.v1"] {
      #expect(try parse("[runtimes.\(name)]\ndriver = \"shim\"").runtimes == ["io.r.v1": "shim"])
    }
  }

  @Test("a configuration with drivers of its own has no other default")
  func noDefault() throws {
    let configuration = try parse(
      "[drivers.vm]\ntype = \"remote\"\naddress = \"vsock://3:1024\"")
    #expect(configuration.defaultDriver == nil)
    #expect(Array(configuration.drivers.keys) == ["vm"])
  }

  @Test(
    "lengths of time are Go's",
    arguments: [
      ("5s", Duration.seconds(5)), ("500ms", .milliseconds(500)), ("1m30s", .seconds(90)),
      ("1h", .seconds(3600)), ("0", .zero), ("", nil), ("5", nil), ("s", nil), ("-1s", nil),
      ("5x", nil), ("99999999999s", nil),
    ] as [(String, Duration?)])
  func durations(_ text: String, _ expected: Duration?) {
    #expect(DurationText.parse(text) == expected)
  }
}
