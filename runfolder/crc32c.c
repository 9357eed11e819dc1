/* crc32c.c - CRC-32C, eight bytes a step by tables. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "crc32c.h"

#include "little.h"

#define POLYNOMIAL 0x82f63b78u /* Castagnoli's, bits reversed */

/* table[k][b]: the checksum of byte b followed by k zero bytes. */
static uint32_t table[8][256];

__attribute__((constructor)) static void table_fill(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[0][b] = crc;
	}
	for (size_t k = 1; k < 8; k++) {
		for (size_t b = 0; b < 256; b++) {
			uint32_t before = table[k - 1][b];

			table[k][b] = before >> 8 ^ table[0][before & 0xff];
		}
	}
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	for (; len >= 8; len -= 8, at += 8) {
		uint32_t low = crc ^ get_le32(at);
		uint32_t high = get_le32(at + 4);

		crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff] ^
		      table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^
		      table[3][high & 0xff] ^ table[2][high >> 8 & 0xff] ^
		      table[1][high >> 16 & 0xff] ^ table[0][high >> 24];
	}
	for (; len; len--, at++)
		crc = crc >> 8 ^ table[0][(crc ^ *at) & 0xff];
	return ~crc;
}
