// A shim that is not ours, with the services of containerd's own packages (2.1.9 or newer of Debian forky)
// over Go's gRPC or ttrpc, and a client of the same.
//
//	sandbox-peer serve PROTOCOL PLACE [TLS]         prints "listening"; SIGTERM ends it
//	sandbox-peer drive PROTOCOL PLACE [TLS] LINE... carries out each LINE over one connection
//	sandbox-peer events PLACE                       a daemon that prints the events of shims
//	sandbox-peer storm PROTOCOL PLACE COUNT         COUNT connections one after the other, a call on each
//
// PROTOCOL is grpc or ttrpc. PLACE is unix:PATH, tcp:HOST:PORT, vsock:PORT (serve) or vsock:CID:PORT (drive).
// TLS is tls=CERTIFICATE,KEY,CA: both sides show certificates and check each other's, the server's for the
// name "sandbox". A LINE is SERVICE/METHOD, a space and the request in protobuf's JSON or, without braces
// around it, in its text format, which has packed messages of any type; its answer is a line: "OK" and the
// response in JSON (in text format where JSON cannot), or the code's name and the message. The services of
// containerd itself are known, too: it is a client of a daemon's.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "events" {
		printEvents(os.Args[2])
		return
	}
	if len(os.Args) < 4 || os.Args[2] != "grpc" && os.Args[2] != "ttrpc" {
		fail("usage: sandbox-peer serve|drive|storm grpc|ttrpc PLACE [tls=CERTIFICATE,KEY,CA] LINE...")
	}
	rest := os.Args[4:]
	var material *material
	if len(rest) > 0 && strings.HasPrefix(rest[0], "tls=") {
		material = newMaterial(strings.TrimPrefix(rest[0], "tls="))
		rest = rest[1:]
	}
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2], os.Args[3], material)
	case "drive":
		drive(os.Args[2], os.Args[3], material, rest)
	case "storm":
		storm(os.Args[2], os.Args[3], material, rest)
	default:
		fail("unknown mode " + os.Args[1])
	}
}

func fail(what any) {
	fmt.Fprintln(os.Stderr, "sandbox-peer:", what)
	os.Exit(2)
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func listen(place string) net.Listener {
	kind, rest, _ := strings.Cut(place, ":")
	if kind == "vsock" {
		return listenVsock(rest)
	}
	listener, err := net.Listen(kind, rest)
	check(err)
	return listener
}

func dial(place string) (net.Conn, error) {
	kind, rest, _ := strings.Cut(place, ":")
	if kind == "vsock" {
		return dialVsock(rest)
	}
	return net.Dial(kind, rest)
}
