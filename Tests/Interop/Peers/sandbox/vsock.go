package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Go's net package does not know AF_VSOCK: a connection is a file, which its poller knows.
type vsockConn struct{ *os.File }

type vsockAddr string

func (vsockAddr) Network() string  { return "vsock" }
func (a vsockAddr) String() string { return string(a) }

func (c vsockConn) LocalAddr() net.Addr  { return vsockAddr("local") }
func (c vsockConn) RemoteAddr() net.Addr { return vsockAddr("remote") }

type vsockListener struct{ file *os.File }

func port(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	check(err)
	return uint32(n)
}

func listenVsock(rest string) net.Listener {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	check(err)
	check(unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: port(rest)}))
	check(unix.Listen(fd, 128))
	return vsockListener{os.NewFile(uintptr(fd), "vsock")}
}

func (l vsockListener) Accept() (net.Conn, error) {
	raw, err := l.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failure error
	err = raw.Read(func(listening uintptr) bool {
		fd, _, failure = unix.Accept4(int(listening), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		return failure != unix.EAGAIN
	})
	if err != nil {
		return nil, err
	}
	if failure != nil {
		return nil, failure
	}
	return vsockConn{os.NewFile(uintptr(fd), "vsock")}, nil
}

func (l vsockListener) Close() error   { return l.file.Close() }
func (l vsockListener) Addr() net.Addr { return vsockAddr("any") }

func dialVsock(rest string) (net.Conn, error) {
	cid, number, found := strings.Cut(rest, ":")
	if !found {
		return nil, fmt.Errorf("vsock:CID:PORT, not vsock:%s", rest)
	}
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// It blocks for as long as the kernel does, which is two seconds.
	if err := unix.Connect(fd, &unix.SockaddrVM{CID: port(cid), Port: port(number)}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	connection := vsockConn{os.NewFile(uintptr(fd), "vsock")}
	return connection, connection.SetDeadline(time.Time{})
}
