// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Bases of an image. An image has the digest of its base, and in its description the base's name. A base is
 * looked for among the files that the user names, then by its name's last part in the image's folder, then
 * by its name. A file that isn't it is passed over.
 */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "cli/common/cli.h"

char *chain_base_name(const struct dmatrack_image *image)
{
	const char *about = dmatrack_image_description(image), *name;
	json_t *json = about ? json_loads(about, 0, NULL) : NULL;
	char *copy;

	name = json_string_value(json_object_get(json, "base"));
	copy = name ? strdup(name) : NULL;
	json_decref(json);
	return copy;
}

static int fail(int error)
{
	cli_error("%s", cli_error_why(error));
	return error == -EBADMSG ? CLI_NO : CLI_FAILED;
}

/* Is @path the base of the last image? Then it's added. Return: 0 or -errno */
static int try(struct chain *c, const char *path)
{
	struct dmatrack_image *m;
	int ret = dmatrack_image_open(&m, path);

	if (ret)
		return ret;
	ret = dmatrack_image_attach(c->image[c->n - 1], m);
	if (ret &&
	    ret != -ENOLINK) { /* -ENOLINK: it is, and needs a base, too */
		dmatrack_image_close(m);
		return ret;
	}
	c->image[c->n++] = m;
	return 0;
}

/* By a name: in the folder of @path, the image, and as it is */
static int try_name(struct chain *c, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/'), *last = strrchr(name, '/');
	char beside[PATH_MAX];
	int ret;

	snprintf(beside, sizeof(beside), "%.*s%s",
		 slash ? (int)(slash - path + 1) : 0, path,
		 last ? last + 1 : name);
	ret = try(c, beside);
	return ret && *name == '/' ? try(c, name) : ret;
}

/* @path: the first image. Return: 0, or an exit status */
static int add_base(struct chain *c, const char *path,
		    const struct cli_list *bases)
{
	char *name = chain_base_name(c->image[c->n - 1]);
	int ret = -ENOENT;
	uint32_t i;

	if (c->n == CHAIN_MAX) {
		free(name);
		cli_error("%s has more than %u bases", path, CHAIN_MAX - 1);
		return CLI_FAILED;
	}
	for (i = 0; bases && i < bases->n && ret; i++)
		ret = try(c, bases->word[i]);
	if (ret && name)
		ret = try_name(c, path, name);
	if (ret == -ENOENT)
		cli_error(
			"%s is incremental, and its base %s isn't there: name it by --base",
			path, name ?: "(which it doesn't name)");
	else if (ret)
		fail(ret);
	free(name);
	return ret == -EBADMSG ? CLI_NO : ret ? CLI_FAILED : 0;
}

/* From the last to the first, as a base must be readable before it's attached */
static int attach_all(struct chain *c)
{
	unsigned int i;
	int ret = 0;

	for (i = c->n - 1; i && !ret; i--)
		ret = dmatrack_image_attach(c->image[i - 1], c->image[i]);
	return ret ? fail(ret) : 0;
}

int chain_open(struct chain *c, const char *path, const struct cli_list *bases)
{
	int ret;

	c->n = 0;
	ret = dmatrack_image_open(&c->image[0], path);
	if (ret)
		return fail(ret);
	c->n = 1;
	while (!ret && dmatrack_image_is_incremental(c->image[c->n - 1]))
		ret = add_base(c, path, bases);
	return ret ? ret : attach_all(c);
}

void chain_close(struct chain *c)
{
	unsigned int i;

	for (i = 0; i < c->n; i++)
		dmatrack_image_close(c->image[i]);
	c->n = 0;
}
