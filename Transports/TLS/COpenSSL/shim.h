// The system's OpenSSL 3, and what of it are macros.
#ifndef HAWSEPIPE_COPENSSL_SHIM_H
#define HAWSEPIPE_COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#endif
