// A unix socket peer that is not ours, on Go's net package. An address that begins with @ is an
// abstract name.
//
//	peer dial ADDRESS TEXT   sends TEXT, closes its output, prints what it hears until the end
//	peer pour ADDRESS COUNT  sends COUNT bytes while it reads them back, and prints that they are
//	                         the same
//	peer listen ADDRESS      prints "ready", sends back what one client sends until its end, and
//	                         prints it, or how long it is when it is long
package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) < 3 {
		fail("usage: peer dial|listen ADDRESS ...")
	}
	switch address, args := os.Args[2], os.Args[3:]; os.Args[1] {
	case "dial":
		dial(address, args[0])
	case "pour":
		pour(address, args[0])
	case "listen":
		listen(address)
	default:
		fail("unknown command " + os.Args[1])
	}
}

func fail(what interface{}) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(2)
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

func dial(address, text string) {
	connection, err := net.Dial("unix", address)
	check(err)
	_, err = io.WriteString(connection, text)
	check(err)
	check(connection.(*net.UnixConn).CloseWrite())
	heard, err := io.ReadAll(connection)
	check(err)
	fmt.Println(string(heard))
}

func pour(address, text string) {
	count, err := strconv.Atoi(text)
	check(err)
	sent := make([]byte, count)
	for i := range sent {
		sent[i] = byte(i ^ i>>8 ^ i>>16)
	}
	connection, err := net.Dial("unix", address)
	check(err)
	written := make(chan error, 1)
	go func() {
		_, err := connection.Write(sent)
		if err == nil {
			err = connection.(*net.UnixConn).CloseWrite()
		}
		written <- err
	}()
	heard, err := io.ReadAll(connection)
	check(err)
	check(<-written)
	if !bytes.Equal(heard, sent) {
		fail(fmt.Sprintf("%d bytes came back for %d, or others", len(heard), count))
	}
	fmt.Printf("%d bytes, the same\n", count)
}

func listen(address string) {
	listener, err := net.Listen("unix", address)
	check(err)
	fmt.Println("ready")
	connection, err := listener.Accept()
	check(err)
	heard, err := io.ReadAll(connection)
	check(err)
	_, err = connection.Write(heard)
	check(err)
	check(connection.Close())
	// Removes the file of a path.
	check(listener.Close())
	if len(heard) > 1000 {
		fmt.Printf("%d bytes\n", len(heard))
		return
	}
	fmt.Println(string(heard))
}
