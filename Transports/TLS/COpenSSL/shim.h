// The system's OpenSSL 3, and what of it are macros.
#ifndef HAWSEPIPE_COPENSSL_SHIM_H
#define HAWSEPIPE_COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// Contexts

static inline int hp_ctx_set_versions(SSL_CTX *ctx, int least, int most) {
  return SSL_CTX_set_min_proto_version(ctx, least) && SSL_CTX_set_max_proto_version(ctx, most);
}

static inline void hp_ctx_set_modes(SSL_CTX *ctx) {
  // The chain is sent as it was given: else OpenSSL would look for more of it among the CAs that it
  // trusts, anew for each handshake, and send the root, too.
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_NO_AUTO_CHAIN);
}

// No compression (CRIME) and no renegotiation; with `tickets`, they hold the session themselves.
static inline void hp_ctx_set_options(SSL_CTX *ctx, int tickets) {
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  if (!tickets) SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
}

static inline unsigned long hp_rfc2253_flags(void) {
  return XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
}

static inline void hp_ctx_set_session_cache(SSL_CTX *ctx, long mode) {
  SSL_CTX_set_session_cache_mode(ctx, mode);
}

static inline void hp_ctx_set_session_cache_size(SSL_CTX *ctx, long count) {
  SSL_CTX_sess_set_cache_size(ctx, count);
}

static inline void hp_ctx_set_read_ahead(SSL_CTX *ctx, int on) { SSL_CTX_set_read_ahead(ctx, on); }

static inline int hp_ctx_add_chain_cert(SSL_CTX *ctx, X509 *cert) {
  return (int)SSL_CTX_add1_chain_cert(ctx, cert);
}

static inline int hp_ctx_set_groups(SSL_CTX *ctx, const char *list) {
  return (int)SSL_CTX_set1_groups_list(ctx, list);
}

// Connections

static inline int hp_set_server_name(SSL *ssl, const char *name) {
  return (int)SSL_set_tlsext_host_name(ssl, name);
}

static inline SSL *hp_ssl_of_store_context(X509_STORE_CTX *store) {
  return (SSL *)X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
}

static inline int hp_new_ssl_index(void) { return SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL); }

static inline int hp_new_ctx_index(void) {
  return SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

// BIOs

static inline void hp_bio_set_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void hp_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }

static inline long hp_bio_memory(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }

// Errors

static inline int hp_err_reason(unsigned long error) { return ERR_GET_REASON(error); }
static inline int hp_err_library(unsigned long error) { return ERR_GET_LIB(error); }

// Certificates

static inline int hp_x509_count(const STACK_OF(X509) *stack) {
  return stack == NULL ? 0 : sk_X509_num(stack);
}

static inline X509 *hp_x509_at(const STACK_OF(X509) *stack, int index) {
  return sk_X509_value(stack, index);
}

static inline int hp_general_name_count(const GENERAL_NAMES *names) {
  return names == NULL ? 0 : sk_GENERAL_NAME_num(names);
}

static inline GENERAL_NAME *hp_general_name_at(const GENERAL_NAMES *names, int index) {
  return sk_GENERAL_NAME_value(names, index);
}

static inline EVP_PKEY *hp_new_p256_key(void) { return EVP_EC_gen("P-256"); }

static inline void hp_free(void *memory) { OPENSSL_free(memory); }

#endif
