/* fuzz_chronos_state.c - a state of chronos with any bytes in it, opened and in use. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_chronos.h"

static void list(struct chronos *c)
{
	struct chronos_partition *list;
	size_t n;

	if (chronos_list(c, &list, &n, NULL) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		MUST(list[i].device_count <= CHRONOS_DEVICES_MAX &&
			strlen(list[i].key) <= CHRONOS_KEY_MAX);
	chronos_partitions_free(list);
}

/* Any answer will do that keeps to the bounds. */
static void use(struct chronos *c)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct chronos_stats stats;
	struct chronos_partition p;
	struct chronos_error e;
	uint32_t hundredths = 0;
	size_t n = 0;

	list(c);
	if (chronos_devices(c, devices, CHRONOS_DEVICES_MAX, &n, &e) == 0)
		MUST(n <= CHRONOS_DEVICES_MAX);
	if (chronos_available(c, "0", &hundredths, &e) == 0)
		MUST(hundredths <= CHRONOS_WHOLE);
	(void)!chronos_stats(c, &stats, &e);
	(void)!chronos_find(c, "p-0", &p, &e);
	if (take_half(c, "new", &p) == 0) {
		(void)!chronos_renew(c, p.id, HOUR_NS, &p, &e);
		(void)!chronos_prepare(c, p.id, &p, &e);
		(void)!chronos_release(c, p.id, &e);
	}
	(void)!chronos_renew(c, "old", END_NS, &p, &e);
	(void)!chronos_release(c, "old", &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct patient state;
	static struct world w;

	if (!w.c) {
		(void)fuzz_folder_open();
		world_make(&w, "books");
	}
	/* The header, the devices, and more records than are used. */
	patient_find(&state, &w, STATE_FILE_NAME, offsetof(struct state, partitions[64]));
	patient_spoil(&state, bytes, len);
	struct chronos *c = chronos_open(w.dir, NULL);
	if (c)
		use(c);
	chronos_close(c);
	patient_heal(&state);
	patient_spoil(&state, bytes, len);
	use(w.c);
	patient_heal(&state);
	/* Another boot's was replaced, as the handle of before notices. */
	if (chronos_renew(w.c, "old", HOUR_NS, NULL, NULL) < 0)
		world_make(&w, "books");
	return 0;
}
