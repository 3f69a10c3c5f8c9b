// A ttrpc peer that is not ours: server and scripted client of hawsepipe.test.Peer (see peer.proto) over
// a unix socket, with the Go ttrpc of Debian forky.
//
//	go-peer serve SOCKET         prints "listening"; SIGTERM shuts it down, SIGINT closes it
//	go-peer client SOCKET LINE... carries out each LINE over one connection, prints a line for each
//
// A LINE's fields are separated by tabs: see client.go.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const service = "hawsepipe.test.Peer"

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		serve(os.Args[2])
	case len(os.Args) > 3 && os.Args[1] == "client":
		runClient(os.Args[2], os.Args[3:])
	default:
		fail("usage: go-peer serve SOCKET | go-peer client SOCKET LINE...")
	}
}

func fail(what any) {
	fmt.Fprintln(os.Stderr, "go-peer:", what)
	os.Exit(2)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fail(err)
	}
	return n
}

func text(value string) *wrapperspb.StringValue { return wrapperspb.String(value) }

// The error that "CODE TEXT" asks for.
func failure(what string) error {
	code, message, _ := strings.Cut(what, " ")
	st, err := status.New(codes.Code(number(code)), message).WithDetails(text(message))
	if err != nil {
		return err
	}
	return st.Err()
}
