/* digest.c - SHA-256 by OpenSSL. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "digest.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "str.h"

static const char prefix[] = "sha256:";

struct digester *digester_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	/* It can only fail for want of memory. */
	if (!ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		abort();
	return (struct digester *)ctx;
}

void digester_add(struct digester *d, const void *bytes, size_t len)
{
	if (!EVP_DigestUpdate((EVP_MD_CTX *)d, bytes, len))
		abort();
}

struct digest digester_end(struct digester *d)
{
	struct digest out;

	if (!EVP_DigestFinal_ex((EVP_MD_CTX *)d, out.bytes, NULL))
		abort();
	digester_free(d);
	return out;
}

void digester_free(struct digester *d)
{
	EVP_MD_CTX_free((EVP_MD_CTX *)d);
}

struct digest digest_of(const void *bytes, size_t len)
{
	struct digester *d = digester_new();

	digester_add(d, bytes, len);
	return digester_end(d);
}

void digest_format(char out[DIGEST_TEXT_SIZE], const struct digest *d)
{
	memcpy(out, prefix, sizeof(prefix) - 1);
	hex_encode(out + sizeof(prefix) - 1, d->bytes, sizeof(d->bytes));
}

int digest_parse(const char *text, struct digest *d, struct err *e)
{
	if (!str_starts(text, prefix))
		return err_set(e, ERR_INVALID, "a digest begins with \"%s\"", prefix);
	return hex_decode(d->bytes, sizeof(d->bytes), text + sizeof(prefix) - 1, e);
}
