/* config.c - the settings of the command line, by the table of base/settings.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "settings.h"
#include "str.h"

static const struct setting table[] = {
	{ .name = "address",
		.type = SETTING_TEXT,
		.offset = offsetof(struct config, address),
		.fallback = "127.0.0.1:50051",
		.argument = "HOST:PORT",
		.help = "the server" },
	{ .name = "token",
		.type = SETTING_TEXT,
		.offset = offsetof(struct config, token),
		.argument = "TOKEN",
		.help = "who asks" },
	{ 0 },
};

void config_fini(struct config *c)
{
	settings_fini(table, c);
}

/* The user's file, for the caller to free; NULL when there is none. */
static char *user_file(void)
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	CLEANUP(free_ptr) char *path = NULL;

	if (!str_empty(base))
		path = str_fmt("%s/cumulus/config.yaml", base);
	else if (!str_empty(home))
		path = str_fmt("%s/.config/cumulus/config.yaml", home);
	return path && access(path, F_OK) == 0 ? take_ptr(&path) : NULL;
}

int config_load(const struct options *o, struct config *c, struct err *e)
{
	CLEANUP(free_ptr) char *file = user_file();
	CLEANUP(config_fini) struct config loaded = { 0 };
	/* With "=", so that no value can be taken for a flag. */
	CLEANUP(free_ptr) char *config = file ? str_fmt("--config=%s", file) : NULL;
	CLEANUP(free_ptr)
	char *address = o->address ? str_fmt("--address=%s", o->address) : NULL;
	CLEANUP(free_ptr) char *token = o->token ? str_fmt("--token=%s", o->token) : NULL;
	char program[] = "cumulus";
	char *argv[4] = { program };
	enum settings_ask ask = SETTINGS_RUN;
	int argc = 1;

	if (config)
		argv[argc++] = config;
	if (address)
		argv[argc++] = address;
	if (token)
		argv[argc++] = token;
	if (settings_load(table, argc, argv, &loaded, &ask, e) < 0)
		return -1;
	if (loaded.token)
		return err_set(e, ERR_UNSUPPORTED,
			"a token is set, but the server has no authentication yet: "
			"it would protect nothing; remove it");
	*c = loaded;
	loaded = (struct config){ 0 };
	return 0;
}
