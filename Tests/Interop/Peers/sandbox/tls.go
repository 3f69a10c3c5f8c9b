package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
)

// Certificate, key and authority, for either side.
type material struct {
	certificate tls.Certificate
	authorities *x509.CertPool
}

func newMaterial(files string) *material {
	names := strings.Split(files, ",")
	if len(names) != 3 {
		fail("tls= takes a certificate, a key and an authority")
	}
	certificate, err := tls.LoadX509KeyPair(names[0], names[1])
	check(err)
	pem, err := os.ReadFile(names[2])
	check(err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		fail("no certificate in " + names[2])
	}
	return &material{certificate, pool}
}

func (m *material) server() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{m.certificate}, ClientCAs: m.authorities,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"h2"},
	}
}

func (m *material) client() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{m.certificate}, RootCAs: m.authorities, ServerName: "sandbox",
		NextProtos: []string{"h2"},
	}
}
