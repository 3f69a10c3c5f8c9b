import Testing

@testable import protoc_gen_swift_ttrpc

@Suite("The Swift names of methods")
struct MethodNamesTests {
  @Test(arguments: [
    ("State", "state"), ("CloseIO", "closeIO"), ("ResizePty", "resizePty"), ("IO", "io"),
    ("URLFor", "urlFor"), ("GetURL", "getURL"), ("HTTP2", "http2"), ("do_thing", "doThing"),
    ("Do_Thing", "doThing"), ("DO_THING", "doTHING"), ("_2nd", "_2nd"), ("__", "method"),
    ("x", "x"), ("X", "x"), ("trailing_", "trailing"),
  ])
  func aNameBeginsSmall(_ name: String, _ expected: String) {
    #expect(MethodNames.lowerCamel(name) == expected)
  }

  @Test(arguments: [
    (["Get", "get"], ["get", "get2"]),
    (["Get", "get", "Get2"], ["get", "get3", "get2"]),
    (["DoThing", "do_thing", "Do_Thing"], ["doThing", "doThing2", "doThing3"]),
    (["init", "Self", "default"], ["`init`", "selfMethod", "`default`"]),
    (["All", "Caller", "AllMethod"], ["allMethod2", "callerMethod", "allMethod"]),
  ])
  func everyMethodHasANameOfItsOwn(_ names: [String], _ expected: [String]) {
    #expect(MethodNames(names).names == expected)
  }
}
